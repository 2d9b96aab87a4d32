"""`toolorch watch`: looks at a run on the cluster until it has ended, and ends as the run did."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic
from rich.console import Console
from rich.live import Live

from toolorch_api import evalrun
from toolorch_api.conditions import RunCondition, is_true
from toolorch_api.meta import API_VERSION, GROUP, LABEL_KIND, LABEL_NAME
from toolorch_evaluator.cli.errors import BadInputError, RunFailedError
from toolorch_evaluator.cli.kubectl import Kubectl, Objects, UnreadableError
from toolorch_evaluator.cli.lines import say
from toolorch_evaluator.cli.pace import Observation, observe, per_minute
from toolorch_evaluator.cli.sight import Sight, parse_events, parse_pools, parse_run, parse_shards
from toolorch_evaluator.cli.watch_table import render, render_end, tell_changes
from toolorch_operator.evalrun.settled import is_settled

# The operator itself looks at a running attempt every two to ten seconds.
LOOK_SECONDS = 3.0
# A laptop that sleeps, a network that changes: the run goes on meanwhile.
PATIENCE = timedelta(minutes=10)
_OWNERS = f"evalruns.{GROUP},modelpools.{GROUP}"


@dataclass(slots=True)
class Watch:
    """One command: where it looks and what it has seen."""

    kubectl: Kubectl
    name: str
    console: Console
    clock: Callable[[], datetime]
    seen: list[Observation] = field(default_factory=list)
    sight: Sight | None = None
    answered: datetime | None = None
    """When the cluster last answered."""

    async def look(self) -> Sight:
        """Return what is there now; where the cluster does not answer, what was there, as long as patience lasts."""
        try:
            sight = await take_sight(self.kubectl, self.name, was_there=self.sight is not None)
        except UnreadableError as error:
            if self.sight is None or self.answered is None or self.clock() - self.answered > PATIENCE:
                raise BadInputError([str(error)]) from None
            return replace(self.sight, notes=(f"no answer since {self.answered:%H:%M:%S} UTC: {error}",))
        self.answered = self.clock()
        self.seen = observe(self.seen, self.answered, sight.run.status.units.done)
        return sight

    def show(self, sight: Sight, live: Live | None) -> None:
        """Show a sight: anew in its place on a terminal, else as lines of what has changed."""
        rate = per_minute(self.seen)
        if live is not None:
            live.update(render(sight, rate, self.clock()), refresh=True)
        else:
            self.say(tell_changes(self.sight, sight, rate))
        self.sight = sight

    def say(self, lines: Iterable[str]) -> None:
        """Print lines as they are."""
        for line in lines:
            say(self.console, line)


async def watch_run(
    kubectl: Kubectl,
    name: str,
    console: Console,
    *,
    once: bool = False,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Show a run until it has ended, or once; raises BadInputError and RunFailedError."""
    watch = Watch(kubectl, name, console, clock)
    first = await watch.look()
    if once:
        console.print(render(first, None, clock()))
    with Live(console=console, auto_refresh=False) if console.is_terminal and not once else nullcontext() as live:
        sight = first
        while not once:
            watch.show(sight, live)
            if is_settled(sight.run.status):
                break
            await pause(LOOK_SECONDS)
            sight = await watch.look()
    _end(watch, sight, once)


def _end(watch: Watch, sight: Sight, once: bool) -> None:
    conditions = sight.run.status.conditions
    if is_settled(sight.run.status):
        watch.say(["", *render_end(sight)])
    if is_true(conditions, RunCondition.FAILED):
        raise RunFailedError(f"{sight.run.name} failed: {sight.run.status.reason}")


async def take_sight(kubectl: Kubectl, name: str, *, was_there: bool) -> Sight:
    """Return one sight of a run; raises UnreadableError, BadInputError where there is none, RunFailedError: no more."""
    labels = f"{LABEL_KIND}={evalrun.KIND},{LABEL_NAME}={name}"
    owners, pods, events = await asyncio.gather(
        kubectl.read(_OWNERS),
        _list_if_allowed(kubectl, "pods", f"--selector={labels}"),
        _list_if_allowed(kubectl, "events", f"--field-selector=involvedObject.apiVersion={API_VERSION}"),
    )
    raw = _find(owners, name)
    if raw is None:
        raise (
            RunFailedError(f"EvalRun {name} was deleted")
            if was_there
            else BadInputError([_miss(kubectl, owners, name)])
        )
    try:
        run = parse_run(raw)
    except pydantic.ValidationError:
        raise BadInputError([f"EvalRun {name} is of a version that this toolorch does not know: update it"]) from None
    notes = (found for found in (pods, events) if isinstance(found, str))
    return Sight(
        run,
        parse_pools(run, owners),
        parse_shards(run, [] if isinstance(pods, str) else pods),
        parse_events(run, [] if isinstance(events, str) else events),
        tuple(notes),
    )


async def _list_if_allowed(kubectl: Kubectl, kind: str, selection: str) -> Objects | str:
    """Return the objects, or a sentence for those who may not see them: the rest is worth showing."""
    try:
        return await kubectl.read(kind, selection)
    except UnreadableError as error:
        if error.is_denied:
            return str(error)
        raise


def _find(owners: Objects, name: str) -> dict[str, Any] | None:
    return next((o for o in owners if (o.get("kind"), o["metadata"]["name"]) == (evalrun.KIND, name)), None)


def _miss(kubectl: Kubectl, owners: Objects, name: str) -> str:
    there = [o["metadata"]["name"] for o in owners if o.get("kind") == evalrun.KIND]
    close = difflib.get_close_matches(name, there, n=1)
    where = f"in namespace {kubectl.namespace}" if kubectl.namespace else "in the namespace of this context"
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"there is no EvalRun {name} {where}{meant} (there: {', '.join(there) or 'none'})"
