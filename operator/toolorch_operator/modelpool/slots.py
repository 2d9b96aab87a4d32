"""Start slots: which replicas of all pools may start on a node now, and what the others wait for. PURE.

Two engines that start side by side mis-measure each other's GPU memory, so a node has few slots. A starting replica
holds one; a crashed one holds it until its memory is given back, and then waits like everybody else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from toolorch_api.modelpool_status import InstanceState
from toolorch_operator.modelpool.observed import StartView

# A sentence in a column: who comes first is told, the rest is counted.
_NAMED_HOLDERS = 3
# With as many before it a replica waits for minutes, and is told of every one of these numbers alone.
_MANY = (3, 10, 30, 100, 300, 1000)


@dataclass(frozen=True, slots=True)
class _Turns:
    """One node: who has its slots and who waits for one, each in the order in which they came."""

    holders: Sequence[StartView]
    waiting: Sequence[StartView]


def grant(starts: Sequence[StartView], now: datetime) -> frozenset[str]:
    """Return the instances that may start, or go on starting, now; who starts and is not among them has to stop.

    A replica without a node gets no slot, unless no replica has one: then the scheduler places, and all count as being
    on one node.
    """
    turns = (_take_turns(here, now) for here in _by_node(starts).values())
    return frozenset(s.instance for t in turns for s in t.holders if not is_settling(s, now))


def next_grant(starts: Sequence[StartView], now: datetime) -> timedelta | None:
    """Return in how long the next crashed replica gives its slot back; None: no slot is freed by mere time."""
    settling = [_settled_at(s, now) for s in starts if is_settling(s, now)]
    return min(settling) - now if settling else None


def describe_wait(instance: str, starts: Sequence[StartView], now: datetime) -> str:
    """Return what one of the instances waits for; the sentence changes with the world only, not with the clock.

    Who has long to wait is told of few of the starts before it: each sentence is a write.
    """
    own = next(s for s in starts if s.instance == instance)
    here = _by_node(starts).get(own.node)
    if here is None:
        return "waits for a node"
    if is_settling(own, now):
        return f"settles until {_clock(_settled_at(own, now))}"
    turns, where = _take_turns(here, now), f" on {own.node}" if own.node else ""
    if own in turns.holders:
        return f"has a start slot{where}"
    ahead = sum(_came(s, now) < _came(own, now) for s in turns.waiting)
    if ahead >= _MANY[0]:
        return f"waits for a start slot{where}: {max(n for n in _MANY if n <= ahead)} or more before it"
    limit = min(s.limit for s in (own, *turns.holders))
    before = f"; {ahead} before it" if ahead else ""
    taken = f"{_name_holders(turns.holders, now)}, {len(turns.holders)} of {limit} slots"
    return f"waits for a start slot{where}: {taken}{before}"


def is_settling(start: StartView, now: datetime) -> bool:
    """Tell whether a replica crashed so lately that its memory may not be free yet."""
    return start.state is InstanceState.CRASHED and now < _settled_at(start, now)


def without_nodes(starts: Sequence[StartView]) -> list[StartView]:
    """Return the same replicas as if on one node: where the scheduler places, a waiting one's node is not known."""
    return [replace(s, node="") for s in starts]


def _by_node(starts: Sequence[StartView]) -> dict[str, list[StartView]]:
    nodes: defaultdict[str, list[StartView]] = defaultdict(list)
    for start in starts:
        nodes[start.node].append(start)
    if len(nodes) > 1:
        nodes.pop("", None)
    return dict(nodes)


def _take_turns(starts: Sequence[StartView], now: datetime) -> _Turns:
    came = sorted(starts, key=lambda s: _came(s, now))
    holders: list[StartView] = []
    for start in came:
        is_starting = start.state is InstanceState.STARTING
        if is_settling(start, now) or (is_starting and _has_room(holders, start)):
            holders.append(start)
    waiting = [s for s in came if _is_waiting(s, now)]
    # Nobody overtakes the first: a pool that starts alone would wait forever behind those that start together.
    while waiting and _has_room(holders, waiting[0]):
        holders.append(waiting.pop(0))
    return _Turns(holders, waiting)


def _has_room(holders: Sequence[StartView], one_more: StartView) -> bool:
    return len(holders) < min(s.limit for s in (*holders, one_more))


def _is_waiting(start: StartView, now: datetime) -> bool:
    if start.state is InstanceState.CRASHED:
        return not is_settling(start, now)
    return start.state is InstanceState.WAITING_FOR_SLOT


def _came(start: StartView, now: datetime) -> tuple[datetime, str]:
    # A replica of which no status has told yet has only just come.
    return start.since or now, start.instance


def _settled_at(start: StartView, now: datetime) -> datetime:
    return (start.since or now) + timedelta(seconds=start.settle_seconds)


def _name_holders(holders: Sequence[StartView], now: datetime) -> str:
    named = ", ".join(_describe(s, now) for s in holders[:_NAMED_HOLDERS])
    more = len(holders) - _NAMED_HOLDERS
    return f"{named} and {more} more" if more > 0 else named


def _describe(holder: StartView, now: datetime) -> str:
    if is_settling(holder, now):
        return f"{holder.instance} crashed and settles until {_clock(_settled_at(holder, now))}"
    if holder.state is not InstanceState.STARTING:
        return f"{holder.instance} starts next"
    return f"{holder.instance} is starting" + (f" since {_clock(holder.since)}" if holder.since else "")


def _clock(time: datetime) -> str:
    return f"{time.astimezone(UTC):%H:%M:%S}Z"
