"""Which runs use a pool, and whether it may go to sleep since none does. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from toolorch_api.modelpool import Engine, ModelPool
from toolorch_api.modelpool_status import Lease
from toolorch_operator.modelpool.observed import RunUse

# As many as the schema of status.leases takes.
_MAX_LEASES = 64


@dataclass(frozen=True, slots=True)
class Use:
    """How a pool is used, and how many replicas that calls for."""

    wanted_replicas: int
    idle_since: datetime | None = None
    """Since when no run has used the pool; None while one does, and where the pool never idles."""
    look_again: timedelta | None = None
    """When the pool falls idle if no run comes; None: mere time changes nothing."""
    message: str = ""
    """One sentence of why the pool sleeps; empty: it is not idle."""

    @property
    def is_idle(self) -> bool:
        """The pool sleeps since no run uses it."""
        return bool(self.message)


def find_leases(before: Sequence[Lease], runs: Sequence[RunUse]) -> list[Lease]:
    """Return one lease per run that uses the pool, the oldest first, as many as status has room for."""
    begun = {lease.run: lease.since for lease in before}
    # A later run of the same name is another run.
    since = {run.name: max(run.since, begun.get(run.name, run.since)) for run in runs}
    leases = (Lease(run=name, since=time) for name, time in since.items())
    return sorted(leases, key=lambda lease: (lease.since, lease.run))[:_MAX_LEASES]


def judge_idle(pool: ModelPool, leases: Sequence[Lease], now: datetime) -> Use:
    """Judge whether a pool that no run uses sleeps; an external one never does, nor one with idleAfterSeconds 0."""
    spec = pool.spec
    if leases or not spec.replicas or not spec.idle_after_seconds or spec.engine is Engine.EXTERNAL:
        return Use(spec.replicas)
    since = _idle_since(pool, now)
    left = since + timedelta(seconds=spec.idle_after_seconds) - now
    if left > timedelta():
        return Use(spec.replicas, since, left)
    return Use(0, since, None, _describe_idling(spec.idle_after_seconds))


def _idle_since(pool: ModelPool, now: datetime) -> datetime:
    is_new = pool.status.observed_generation == 0
    return pool.status.idle_since or (pool.metadata.creation_timestamp if is_new else None) or now


def _describe_idling(seconds: int) -> str:
    return (
        f"no run has used it for {_describe_duration(seconds)} (idleAfterSeconds {seconds});"
        " it starts again with the next run"
    )


def _describe_duration(seconds: int) -> str:
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
