"""A sight of a run as a table that is read at 80 columns, and as lines for those who have no terminal. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from toolorch_api.conditions import RunCondition, find_condition
from toolorch_evaluator.cli.score_lines import describe_score
from toolorch_evaluator.cli.sight import Happening, Pool, Shard, Sight
from toolorch_evaluator.cli.table import age

# Whole on a terminal of 24 lines with the usual three pools.
_POOLS, _SHARDS, _EVENTS = 8, 6, 5
_BAR = 30
# Two lines of a narrow terminal; `kubectl describe` has the rest.
_REASON = 156
_QUIET = ("Running", "Succeeded")


def render(sight: Sight, rate: float | None, now: datetime) -> RenderableType:
    """Return the live table."""
    parts: list[RenderableType] = [_head(sight, now), _bar(sight, rate)]
    if sight.pools:
        parts += ["", _pools(sight.pools)]
    if sight.shards:
        parts += ["", _shards(sight.shards, now)]
    if sight.events:
        parts += ["", _events(sight.events, now)]
    return Group(*parts, *(Text(line, style="yellow") for line in (*find_stall(sight), *sight.notes)))


def find_stall(sight: Sight) -> list[str]:
    """Return why the run will not go on by itself, such as a spec that cannot work; nothing where it may."""
    said = find_condition(sight.run.status.conditions, RunCondition.STALLED)
    return [f"Stalled: {said.reason}: {said.message}"] if said is not None and said.status == "True" else []


def describe(sight: Sight, rate: float | None) -> str:
    """Return how far a run is, in one line: "101/278 done, 45 passed, 2 errors, 8.4/min, ETA 21m"."""
    status, units = sight.run.status, sight.run.status.units
    if not units.total or not (units.done or units.running or units.infra_errors):
        return status.reason or "not seen by the operator yet"
    pace = "" if rate is None else f", {rate:.1f}/min"
    eta = f", ETA {status.eta}" if status.eta else ""
    return f"{status.done} done, {units.passed} passed, {units.infra_errors} errors{pace}{eta}"


def tell_changes(before: Sight | None, after: Sight, rate: float | None) -> list[str]:
    """Return a line for each thing that is other than before; without a before, for what there is and happened last."""
    known = before or Sight(after.run, events=after.events[:-_EVENTS])
    moved = {(s.name, s.state, s.node) for s in known.shards}
    lines = [f"{p.name}: {' '.join(filter(None, (p.ready, p.reason)))}" for p in after.pools if p not in known.pools]
    lines += [_tell_shard(s) for s in after.shards if (s.name, s.state, s.node) not in moved]
    lines += [f"{_mark(e)}{e.about}: {e.reason}: {e.message}" for e in after.events if e not in known.events]
    if before is None or before.run.status != after.run.status:
        lines.append(f"{after.run.name}: {describe(after, rate)}")
    lines += [line for line in find_stall(after) if before is None or line not in find_stall(before)]
    return lines + [note for note in after.notes if note not in known.notes]


def render_end(sight: Sight) -> list[str]:
    """Return how a run ended: its score with n, both ways, and where report and results are."""
    status = sight.run.status
    lines = [f"{sight.run.name}: {status.reason}", *describe_score(status)]
    places = {"report": status.report, "results": status.results}
    return lines + [f"{what}: {uri}" for what, uri in places.items() if uri]


def _head(sight: Sight, now: datetime) -> RenderableType:
    run, status = sight.run, sight.run.status
    words = [run.benchmark, f"attempt {status.attempt}" if status.attempt else ""]
    words.append(f"for {age((status.completion_time or now) - status.start_time)}" if status.start_time else "")
    title = Text.assemble((run.name, "bold"), f" in {run.namespace}: ", ", ".join(filter(None, words)))
    reason = Text(status.reason or "not seen by the operator yet")
    reason.truncate(_REASON, overflow="ellipsis")
    return Group(_cut(title), reason)


def _bar(sight: Sight, rate: float | None) -> RenderableType:
    status, units = sight.run.status, sight.run.status.units
    if not units.total:
        return ""
    pace = f"{rate:.1f}/min" if rate is not None else ""
    numbers = [status.done, pace, f"ETA {status.eta}" if status.eta else ""]
    grid = Table.grid(padding=(0, 2))
    grid.add_row(ProgressBar(total=units.total, completed=units.done, width=_BAR), "  ".join(filter(None, numbers)))
    counts = f"passed {units.passed}  failed {units.failed}  running {units.running}  errors {units.infra_errors}"
    quarantined = f"quarantined {units.quarantined}" if units.quarantined else ""
    score = f"score {status.score}" if status.score else ""
    return Group(grid, _cut(Text("  ".join(filter(None, (counts, quarantined, score))))))


def _pools(pools: Sequence[Pool]) -> RenderableType:
    table = _table("POOL", "READY", last="REASON")
    for pool in pools[:_POOLS]:
        table.add_row(pool.name, pool.ready, Text(pool.reason))
    return Group(table, *_rest(len(pools) - _POOLS, "pools"))


def _shards(shards: Sequence[Shard], now: datetime) -> RenderableType:
    """Return the shards one by one where they are few, else those in trouble, and the others counted."""
    shown = shards
    if len(shards) > _SHARDS:
        shown = [s for s in shards if s.state not in _QUIET][:_SHARDS]
    counts = Counter(s.state for s in shards if s not in shown)
    others = ", ".join(f"{n} {state}" for state, n in counts.most_common())
    table = _table("SHARD", "STATE", "TRIES", "AGE", last="NODE")
    for shard in shown:
        since = age(now - shard.since) if shard.since else ""
        table.add_row(shard.name, shard.state, str(shard.tries), since, shard.node)
    line = f"{'and ' if shown else ''}{sum(counts.values())} {'more ' if shown else ''}shards: {others}"
    return Group(*([table] if shown else []), *([_cut(Text(line))] if others else []))


def _events(events: Sequence[Happening], now: datetime) -> RenderableType:
    table = _table("AGE", "EVENT", last="MESSAGE")
    for event in events[-_EVENTS:]:
        style = "yellow" if event.is_warning else ""
        table.add_row(age(now - event.at) if event.at else "", Text(event.reason, style), Text(event.message))
    return table


def _table(*columns: str, last: str) -> Table:
    """Return a table whose last column takes what room is left, and is cut there."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    table.add_column(last, no_wrap=True, overflow="ellipsis", ratio=1)
    return table


def _rest(count: int, what: str) -> list[RenderableType]:
    return [f"and {count} more {what}"] if count > 0 else []


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _tell_shard(shard: Shard) -> str:
    name = f"shard {shard.name}" if shard.name.isdecimal() else shard.name
    return f"{name}: {shard.state}{f' on {shard.node}' if shard.node else ''}"


def _mark(event: Happening) -> str:
    return "Warning: " if event.is_warning else ""
