"""How far a shard is: counts, usage and recent ends, as its progress object tells them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from toolorch_api.evalrun_status import Usage
from toolorch_api.shard import Progress, Result, UnitStatus

# As many ends as the contract allows a progress object to list.
RECENT = 32


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
    passed: int = 0
    failed: int = 0
    infra_errors: int = 0
    running: int = 0
    elsewhere: int = 0
    """Units that ended here after another shard had ended them."""
    usage: Usage = field(default_factory=Usage)
    recent: deque[datetime] = field(default_factory=lambda: deque(maxlen=RECENT))

    @property
    def ended(self) -> int:
        """Units that came to an end in this pod or an earlier one, infra errors included."""
        return self.passed + self.failed + self.infra_errors

    def add(self, result: Result) -> None:
        """Count a unit that ended; one that another shard was first to end is counted there."""
        if result.shard != self.shard:
            self.elsewhere += 1
            return
        self.passed += result.status is UnitStatus.PASSED
        self.failed += result.status is UnitStatus.FAILED
        self.infra_errors += result.status is UnitStatus.INFRA_ERROR
        self.usage = add_usage((self.usage, result.usage))
        self.recent.append(result.ended_at)

    def progress(self, now: datetime, finished: bool = False) -> Progress:
        """Return the progress object of this moment."""
        return Progress(
            spec_hash=self.spec_hash,
            attempt=self.attempt,
            shard=self.shard,
            pod=self.pod,
            total=self.total,
            passed=self.passed,
            failed=self.failed,
            infra_errors=self.infra_errors,
            running=self.running,
            usage=self.usage,
            recent_ends=sorted(self.recent),
            started_at=self.started_at,
            updated_at=now,
            finished=finished,
        )


def add_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum of usages."""
    every = list(usages)
    return Usage(**{name: sum(getattr(u, name) for u in every) for name in Usage.model_fields})
