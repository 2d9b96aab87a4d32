"""The executable: `vllm serve MODEL …`, from the command line to the exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from types import FrameType

from aiohttp import web

from toolorch_mock.arguments import ServeOptions, StartError, parse_options
from toolorch_mock.brains.registry import Model, find_model
from toolorch_mock.faults import BadFaultError, FaultSettings, parse_faults
from toolorch_mock.phases import Line, death_lines, play, ready_lines, render, start_lines
from toolorch_mock.references import load_reference
from toolorch_mock.server import Server

# In-flight requests get this long at SIGTERM; a hung one would never end.
_SHUTDOWN_SECONDS = 0.5
_EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 after SIGTERM, 1 for a failed start, 2 for bad input."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        faults = parse_faults(os.environ)
        options = parse_options(sys.argv[1:] if argv is None else argv)
        return _serve(options, _model(options.model), faults)
    except BadFaultError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    except StartError as error:
        print(f"Traceback (most recent call last):\n{error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt as error:
        print(f"KeyboardInterrupt: {error}", file=sys.stderr, flush=True)
        return _EXIT_INTERRUPTED


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt("terminated")


def _model(name: str) -> Model:
    model = find_model(name)
    if model is None:
        raise StartError(
            f"OSError: {name} is not a local folder and is not a valid model identifier. The mock's models are "
            "mock/oracle, mock/user, mock/idle and mock/skill-N with N from 0 to 100."
        )
    return model


def _write(line: Line) -> None:
    print(render(line, os.getpid(), datetime.now().astimezone()), file=sys.stderr, flush=True)


def _serve(options: ServeOptions, model: Model, faults: FaultSettings) -> int:
    """Start, die as told, or serve until SIGTERM."""
    reached = play(start_lines(options), 0.0, faults.start_seconds, _write, time.sleep)
    death = death_lines(options, faults)
    if death:
        play(iter(death), reached, faults.start_seconds, _write, time.sleep)
        return 1
    play(ready_lines(options), reached, faults.start_seconds, _write, time.sleep)
    server = Server(options, model, faults, load_reference)
    asyncio.run(_listen(server.build_app(), options))
    return 0


async def _listen(app: web.Application, options: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT."""
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


if __name__ == "__main__":
    sys.exit(main())
