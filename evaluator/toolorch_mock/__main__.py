"""The executable: `vllm serve MODEL …`, from the command line to the exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import FrameType

from toolorch_mock.arguments import ServeOptions, StartError, parse_options
from toolorch_mock.brains.registry import Model, find_model
from toolorch_mock.faults import BadFaultError, FaultSettings, parse_faults
from toolorch_mock.phases import Line, death_lines, play, ready_lines, render, start_lines

_EXIT_INTERRUPTED = 130


def main() -> int:
    """Run this process's command line and return its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    return run(sys.argv[1:], os.environ)


def run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command line: 0 after SIGTERM, 1 for a failed start, 2 for bad input, 130 for SIGTERM while starting."""
    try:
        faults = parse_faults(environment)
        options = parse_options(argv)
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
    # Late: it is most of this program's start, and an engine that dies needs none of it.
    from toolorch_mock.listener import listen

    play(ready_lines(options), reached, faults.start_seconds, _write, time.sleep)
    listen(options, model, faults)
    return 0


if __name__ == "__main__":
    sys.exit(main())
