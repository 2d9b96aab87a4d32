"""The open port: from a started engine to the end at SIGTERM, or to the engine's own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from aiohttp import web

from toolorch_mock.arguments import ServeOptions
from toolorch_mock.brains.registry import Model
from toolorch_mock.engine import Engine
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_mock.flood import Flood
from toolorch_mock.last_words import last_words
from toolorch_mock.phases import Write
from toolorch_mock.references import load_reference
from toolorch_mock.server import Server

# In-flight requests get this long at SIGTERM; a hung one would never end.
_SHUTDOWN_SECONDS = 0.5


def listen(options: ServeOptions, model: Model, faults: FaultSettings, is_doomed: bool, write: Write) -> None:
    """Serve until SIGTERM or SIGINT, or until the engine of a server that is doomed runs out of memory."""
    asyncio.run(_listen(options, model, faults, is_doomed, write))


async def _listen(options: ServeOptions, model: Model, faults: FaultSettings, is_doomed: bool, write: Write) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def die() -> None:
        for line in last_words(Crash.RUN_OOM, options, faults):
            write(line)
        stop.set()

    engine = Engine(faults, (faults.run_oom_after_requests or 0) if is_doomed else None, die)
    flood = Flood(faults.flood_unit, faults.flood_mib)
    app = Server(options, model, engine, load_reference, faults.tool_format, flood).build_app()
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
