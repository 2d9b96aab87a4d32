"""`toolorch compare`: two stored runs, the difference of their scores as a table or as JSON, and the gate on demand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from toolorch_api.shard import GateOutcome
from toolorch_evaluator.cli import lines
from toolorch_evaluator.cli.ends import foreseen
from toolorch_evaluator.cli.errors import BadInputError, CommandExit
from toolorch_evaluator.cli.stored import as_path, find_run
from toolorch_evaluator.compared import comparison_document, show_rows
from toolorch_evaluator.comparison import Comparison, Side, compare, judge
from toolorch_evaluator.exits import StepError, leave
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.small_store import SmallStore
from toolorch_evaluator.stored_runs import read_side

# A person waits at the terminal; a store that is away for longer is told instead.
PATIENCE_SECONDS = 20.0

OpenFolder = Callable[[str], Results]


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """What the options of `toolorch compare` say."""

    before: str
    after: str
    output: Path
    max_drop: float | None
    as_json: bool


async def compare_runs(request: CompareRequest, open_folder: OpenFolder, out: Console) -> int:
    """Compare two stored runs and print how they differ; return the exit code. Raises BadInputError."""
    sides = [await _read(text, request.output, open_folder) for text in (request.before, request.after)]
    (before_uri, before), (after_uri, after) = sides
    comparison = compare(before, after)
    outcome = None if request.max_drop is None else judge(comparison, request.max_drop)
    if request.as_json:
        gate = {} if outcome is None else {"gate": outcome.model_dump(mode="json", by_alias=True)}
        document = {"a": before_uri, "b": after_uri, **comparison_document(comparison), **gate}
        lines.say(out, json.dumps(document, ensure_ascii=False, indent=1))
    else:
        _print(comparison, (before_uri, after_uri), outcome, out)
    return CommandExit.BREACHED if outcome is not None and outcome.passed is False else 0


def compare_and_leave(request: CompareRequest) -> NoReturn:
    """Carry the command out and end the program."""
    # Standard output is for the comparison.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        with foreseen("nothing was changed"):
            code = asyncio.run(compare_runs(request, open_patiently, Console()))
    except typer.Exit as end:
        code = end.exit_code
    leave(code)


def open_patiently(uri: str) -> Results:
    """Open a run's folder for a person who waits at the terminal."""
    return Results(SmallStore(open_store(uri, os.environ)), PATIENCE_SECONDS)


async def _read(text: str, output: Path, open_folder: OpenFolder) -> tuple[str, Side]:
    try:
        uri = find_run(text, output)
        side = await read_side(open_folder(uri), text)
    except ValueError as error:
        raise BadInputError([str(error)]) from None
    except StepError as error:
        raise BadInputError([f"{text}: {error.message}"]) from None
    return uri, side


def _print(comparison: Comparison, uris: tuple[str, str], outcome: GateOutcome | None, out: Console) -> None:
    def say(line: str) -> None:
        lines.say(out, line)

    for letter, uri in zip("AB", uris, strict=True):
        say(f"{letter}  {as_path(uri) or uri}")
    say("")
    if comparison.whole is None:
        say("no unit is scored in both")
    else:
        out.print(_table(comparison), highlight=False)
        say("points: B − A, paired by task; lost: passed in A only; gained: in B only")
    say(f"scored in one only: {comparison.only_before} units in A, {comparison.only_after} in B")
    if comparison.obstacle:
        say(f"not comparable: {comparison.obstacle}")
    if outcome is not None:
        verdict = "inconclusive" if outcome.passed is None else "held" if outcome.passed else "breached"
        say(f"gate {verdict}: {outcome.message}")


def _table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("domain", overflow="fold")
    for name in ("tasks", "units", "A", "B", "points", "95 % interval", "lost", "gained"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in show_rows(comparison):
        table.add_row(*(Text(lines.plain(str(cell))) for cell in row.values()))
    return table
