"""What the person at the terminal sees: a bar with ETA, lines for what changed, and the tables at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from toolorch_api.conditions import RunCondition, Truth, find_condition
from toolorch_api.crd import POOL_COLUMNS, RUN_COLUMNS
from toolorch_api.evalrun import EvalRun
from toolorch_evaluator.cli.lines import plain, say
from toolorch_evaluator.cli.score_lines import describe_score
from toolorch_evaluator.cli.table import render_table

# Often enough to be believed, seldom enough for a build's log.
_PLAIN_SECONDS = 5.0
# A cluster has no such column: there a pool outlives every run.
_SERVERS = {"name": "SERVERS", "type": "string", "jsonPath": ".servers"}

_GATES = {Truth.TRUE: "held", Truth.FALSE: "breached", Truth.UNKNOWN: "unknown"}


class Display(Protocol):
    """Where a run tells how it goes."""

    def say(self, line: str) -> None:
        """Tell something that happened."""

    def show(self, run: EvalRun) -> None:
        """Show how far the run is."""

    def close(self) -> None:
        """End the live part."""


class PlainDisplay:
    """Lines of text, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = ""
        self._next = 0.0

    def say(self, line: str) -> None:
        """Print a line."""
        say(self._console, line)

    def show(self, run: EvalRun) -> None:
        """Print how far the run is, when it has moved and the last time is long enough ago."""
        text = f"{run.metadata.name}: {describe(run)}"
        if text != self._told and time.monotonic() >= self._next:
            self.say(text)
            self._told, self._next = text, time.monotonic() + _PLAIN_SECONDS

    def close(self) -> None:
        """Nothing is live."""


class LiveDisplay:
    """A progress bar with ETA at the bottom, lines above it."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=None, text="")
        self._progress.start()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        say(self._progress.console, line)

    def show(self, run: EvalRun) -> None:
        """Move the bar."""
        units = run.status.units
        self._progress.update(
            self._task,
            description=run.metadata.name,
            text=plain(describe(run)),
            completed=units.done,
            total=units.total or None,
        )

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()


def open_display(console: Console) -> Display:
    """Return the display that fits a console."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


def describe(run: EvalRun) -> str:
    """Say in a few words how far a run is."""
    units = run.status.units
    if not units.total or not (units.done or units.running or units.infra_errors):
        return run.status.reason or "starting"
    return f"{run.status.done} done, {units.passed} passed, {units.infra_errors} errors"


def render_end(run: Mapping[str, Any], pools: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """Return what `kubectl get modelpools,evalruns -o wide` would print."""
    columns = [*POOL_COLUMNS, _SERVERS] if any(pool.get("servers") for pool in pools) else POOL_COLUMNS
    tables = [render_table(pools, columns, now)] if pools else []
    tables.append(render_table([run], RUN_COLUMNS, now))
    return "\n\n".join("\n".join(table) for table in tables)


def render_score(run: EvalRun) -> list[str]:
    """Return the score with its n, both ways, and where the report lies."""
    status = run.status
    lines = describe_score(status)
    gate = find_condition(status.conditions, RunCondition.GATE_PASSED)
    if gate is not None:
        lines.append(f"gate {_GATES[gate.status]}: {gate.message}")
    places = {"report": status.report, "results": status.results}
    return lines + [f"{what}: {_as_path(uri)}" for what, uri in places.items() if uri]


def _as_path(uri: str) -> str:
    """Write a file URI as a path that can be opened by hand, relative to where the user is if it lies below."""
    path = Path(unquote(urlsplit(uri).path))
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
