"""How far a shard is: counts, usage and recent ends, as its progress object tells them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from toolorch_api.evalrun_status import Usage
from toolorch_api.shard import Progress, Result, Unit, UnitStatus

# As many ends as the contract allows a progress object to list.
RECENT = 32


@dataclass(frozen=True, slots=True)
class Ended:
    """A unit's end, as far as this pod knows it."""

    result: Result
    here: bool = True
    """Whether this pod stored it; otherwise another one was first."""


class Spends(Protocol):
    """What calls models, and knows what that has cost."""

    @property
    def spent(self) -> Usage:
        """All answered calls of this pod, those of running and of lost units included."""
        ...

    @property
    def last_answer_at(self) -> datetime | None:
        """When a model last answered."""
        ...


@dataclass(slots=True)
class Tally:
    """Counts of a shard; only its runner writes to it."""

    spec_hash: str
    attempt: int
    shard: int
    pod: str
    total: int
    """Units that the assignment deals to this shard; it may end more or fewer."""
    started_at: datetime
    models: Spends | None = None
    running: int = 0
    open_files: int = 0
    """Most file descriptors that were open."""
    elsewhere: int = 0
    """Units that ended here after another shard had ended them."""
    _before: Progress | None = None
    """What the earlier pods of this shard told."""
    _statuses: dict[Unit, UnitStatus] = field(default_factory=dict)
    _recent: list[tuple[datetime, float]] = field(default_factory=list)

    @property
    def ended(self) -> int:
        """Units that came to an end in this pod or an earlier one, infra errors included."""
        return len(self._statuses)

    @property
    def counts(self) -> Counter[UnitStatus]:
        """Units that ended by how they did, each once, however many pods have run it."""
        return Counter(self._statuses.values())

    def resume(self, before: Progress) -> None:
        """Go on from what an earlier pod told, except its counts: those are made anew from the results."""
        if before.spec_hash == self.spec_hash:
            self._before = before
            self.open_files = max(self.open_files, before.open_files)

    def add(self, ended: Ended, at: datetime) -> None:
        """Count a unit that ended; one that another shard was first to end is counted there."""
        result = ended.result
        if not ended.here and (result.attempt, result.shard) != (self.attempt, self.shard):
            self.elsewhere += 1
            return
        self._statuses[Unit(result.variant, result.domain, result.task_id, result.trial)] = result.status
        seconds = (result.ended_at - result.started_at).total_seconds()
        self._recent = sorted([*self._recent, (at, seconds)])[-RECENT:]

    def progress(self, now: datetime, finished: bool = False) -> Progress:
        """Return the progress object of this moment."""
        counts = self.counts
        return Progress(
            spec_hash=self.spec_hash,
            attempt=self.attempt,
            shard=self.shard,
            pod=self.pod,
            total=self.total,
            passed=counts[UnitStatus.PASSED],
            failed=counts[UnitStatus.FAILED],
            infra_errors=counts[UnitStatus.INFRA_ERROR],
            running=self.running,
            usage=self._usage(),
            recent_ends=[at for at, _ in self._recent],
            recent_seconds=[seconds for _, seconds in self._recent],
            last_answer_at=self._last_answer_at(),
            open_files=self.open_files,
            started_at=self.started_at,
            updated_at=now,
            finished=finished,
        )

    def _usage(self) -> Usage:
        earlier = [self._before.usage] if self._before else []
        return add_usage([*earlier, *([self.models.spent] if self.models else [])])

    def _last_answer_at(self) -> datetime | None:
        here = self.models.last_answer_at if self.models else None
        return here or (self._before.last_answer_at if self._before else None)


def add_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum of usages."""
    every = list(usages)
    return Usage(**{name: sum(getattr(u, name) for u in every) for name in Usage.model_fields})
