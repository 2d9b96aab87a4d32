"""The `score` verb: recorded conversations in, one result per line out, in the same order."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from toolorch_evaluator.benchmarks.base import Benchmark
from toolorch_evaluator.benchmarks.registry import benchmark as benchmark_named

OK, BAD_INPUT = 0, 2
FIELDS = ("domain", "task_id")


def score_file(benchmark: str, file: Path | str, out: TextIO, err: TextIO = sys.stderr) -> int:
    """Grade a file of transcripts, one JSON object per line ("-" is standard input), and return the exit code.

    A transcript that cannot be graded has reward null and an error, and the next one follows. A line that is no
    transcript of the benchmark ends it: exit code 2 and a sentence with the line's number.
    """
    try:
        graded_by = benchmark_named(benchmark)
        for number, line in _lines(file):
            print(json.dumps(_result(graded_by, number, line)), file=out)
    except (ValueError, OSError) as error:
        print(f"score: {error}", file=err)
        return BAD_INPUT
    return OK


def _result(benchmark: Benchmark, number: int, line: str) -> dict[str, Any]:
    try:
        transcript = json.loads(line)
        score = benchmark.score(transcript)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} is not JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error
    result = {
        **{name: transcript[name] for name in FIELDS},
        "reward": score.reward,
        "reward_breakdown": dict(score.breakdown),
        "termination_reason": transcript["termination_reason"],
    }
    return result if score.error is None else {**result, "error": score.error}


def _lines(file: Path | str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, numbered from 1."""
    if str(file) == "-":
        yield from _filled(sys.stdin)
        return
    with Path(file).open(encoding="utf-8") as lines:
        yield from _filled(lines)


def _filled(lines: TextIO) -> Iterator[tuple[int, str]]:
    yield from ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
