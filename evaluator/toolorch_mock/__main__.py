"""The executable: `vllm serve MODEL …`, from the command line to the exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import FrameType

from toolorch_mock.arguments import ServeOptions, StartError, parse_options
from toolorch_mock.brains.registry import Model, find_model
from toolorch_mock.deaths import LAST_PHASE, choose_death
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_mock.last_words import last_words
from toolorch_mock.memory import fit_length
from toolorch_mock.phases import Line, Phase, play, render, start_lines
from toolorch_mock.starts import count_start, hold_memory
from toolorch_mock.variables import BadFaultError, parse_faults

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
        if faults.served_name:
            options = replace(options, served_names=(faults.served_name,))
        start = count_start(environment) if faults.race_starts else 1
        return _serve(options, _model(options.model), faults, start)
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
            "mock/oracle, mock/user, mock/idle, mock/silent, mock/cut, mock/thinking and mock/skill-N with N from 0 to "
            "100."
        )
    return model


def _write(line: Line) -> None:
    print(render(line, os.getpid(), datetime.now().astimezone()), file=sys.stderr, flush=True)


def _serve(options: ServeOptions, model: Model, faults: FaultSettings, start: int) -> int:
    """Start, die as told, or serve until SIGTERM or a late death."""
    death = choose_death(options, faults, start)
    last = Phase.READY if death is None else LAST_PHASE[death]
    options = fit_length(options, faults.gpu)
    lines = [line for line in start_lines(options, faults.gpu) if line.phase <= last]
    reached = _play(lines, Phase.BEGUN, Phase.LOADING, 0.0, faults)
    weights = hold_memory(faults.host_memory_mib if last >= Phase.LOADING else 0)
    reached = _play(lines, Phase.LOADED, Phase.SIZED, reached, faults)
    if death is not None and last < Phase.READY:
        play(last_words(death, options, faults), reached, faults.start_seconds, _write, time.sleep)
        return 1
    # Late: it is most of this program's start, and an engine that dies needs none of it.
    from toolorch_mock.listener import listen

    _play(lines, Phase.CAPTURED, Phase.READY, reached, faults)
    listen(options, model, faults, is_doomed=death is Crash.RUN_OOM, write=_write)
    del weights
    return 0


def _play(lines: list[Line], first: Phase, last: Phase, reached: float, faults: FaultSettings) -> float:
    now = (line for line in lines if first <= line.phase <= last)
    return play(now, reached, faults.start_seconds, _write, time.sleep)


if __name__ == "__main__":
    sys.exit(main())
