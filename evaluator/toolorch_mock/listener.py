"""The open port: from a started engine to the end at SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiohttp import web

from toolorch_mock.arguments import ServeOptions
from toolorch_mock.brains.registry import Model
from toolorch_mock.faults import FaultSettings
from toolorch_mock.references import load_reference
from toolorch_mock.server import Server

# In-flight requests get this long at SIGTERM; a hung one would never end.
_SHUTDOWN_SECONDS = 0.5


def listen(options: ServeOptions, model: Model, faults: FaultSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    asyncio.run(_listen(Server(options, model, faults, load_reference).build_app(), options))


async def _listen(app: web.Application, options: ServeOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Without an access log: probes would drown the lines that matter.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port).start()
        _tell("Started server process", "Waiting for application startup.", "Application startup complete.")
        await stop.wait()
    finally:
        _tell("Shutting down", "Waiting for application shutdown.", "Application shutdown complete.")
        await runner.cleanup()


def _tell(*texts: str) -> None:
    for text in texts:
        print(f"(APIServer pid={os.getpid()}) INFO:     {text}", file=sys.stderr, flush=True)
