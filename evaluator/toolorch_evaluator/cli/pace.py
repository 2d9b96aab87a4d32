"""How fast a run goes, from what was seen of it one look after the other. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

# Units end in bursts, one per shard; five minutes even them out and still follow a change.
_WINDOW = timedelta(minutes=5)
# A first burst over a few seconds would promise what nobody keeps.
_LEAST = timedelta(seconds=20)

Observation = tuple[datetime, int]
"""A moment, and the units done by then."""


def observe(seen: Sequence[Observation], moment: datetime, done: int) -> list[Observation]:
    """Return the observations with one more; what is too old goes, and all go where a count fell."""
    if seen and done < seen[-1][1]:
        return [(moment, done)]
    return [*(s for s in seen if moment - s[0] <= _WINDOW), (moment, done)]


def per_minute(seen: Sequence[Observation]) -> float | None:
    """Return the units per minute; None: it was not seen for long enough."""
    if not seen or seen[-1][0] - seen[0][0] < _LEAST:
        return None
    (since, before), (until, now) = seen[0], seen[-1]
    return (now - before) / ((until - since).total_seconds() / 60)
