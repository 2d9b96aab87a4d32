"""When to look again at what a run waits for, so that looks grow with the logarithm of the time that it takes. PURE.

The ends of pods and Jobs are told by the watch. A look in between only refreshes what is shown, and finds what the API
server cannot tell: an object in storage. It costs a status write, one listing, and one read per shard at work.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from toolorch_operator.evalrun.views import JobView

FIRST_LOOK = 2.0
"""Seconds to the first look at an attempt: its pods take about as long to start."""
LAST_LOOK = 1.0
"""Seconds between looks just before the expected end: its end is to be seen when it comes."""
LONGEST_LOOK = 60.0
"""Seconds that a status may be old at most, however long the run: a person or a budget still follows it."""
OF_AGE = 0.5
"""Part of the time gone that the next look is away: what is shown is never older than a third of the run."""
OF_REST = 0.7
"""Part of the expected rest: a little before the end, since the last units are often quicker than expected."""
OF_LATE = 1 / 8
"""Least part of the time gone: an end that is expected at once, and for long, costs few looks too."""
LIMIT_LOOK = 5.0
"""Least seconds to a look for a limit's sake: shards write what they have spent about as often."""
OF_WAIT = 0.25
"""Part of the time that a short step's Job has taken: its end is missed by no more than that."""


def next_look(age: float, rest: float | None, room: float | None = None) -> timedelta:
    """Return when to look again at an attempt of so many seconds expected to take `rest` more (None: unknown).

    `room` are the seconds until a limit of the whole run is expected to be reached.
    """
    look = max(FIRST_LOOK, age * OF_AGE)
    if rest is not None:
        look = min(look, max(LAST_LOOK, rest * OF_REST, age * OF_LATE))
    if room is not None:
        look = min(look, max(LIMIT_LOOK, room))
    return timedelta(seconds=min(LONGEST_LOOK, look))


def next_wait(age: float, first: float) -> timedelta:
    """Return when to look again for what a Job of so many seconds is to leave in storage, `first` seconds at least."""
    return timedelta(seconds=min(LONGEST_LOOK, max(first, age * OF_WAIT)))


def find_age(job: JobView | None, now: datetime) -> float:
    """Return for how many seconds a Job has been there; 0 where that is unknown."""
    return 0.0 if job is None or job.created is None else max(0.0, (now - job.created).total_seconds())
