"""Which key is due when: a deduplicating, per-key serial schedule without a clock of its own. PURE.

Semantics follow client-go's workqueue: a key that is added while it is worked on is worked on once more afterwards.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Generic, TypeVar

RETRY_CAP = 300.0
"""Seconds between two resyncs, unless they are set otherwise."""

K = TypeVar("K")


@dataclass(slots=True)
class Schedule(Generic[K]):
    """Waiting keys by due time, keys being worked on, and failures in a row; times are seconds of one clock."""

    base: float = 0.05
    """Seconds before the first retry, which mostly follows a lost race; each further one doubles."""
    cap: float = RETRY_CAP
    """Longest delay before a retry in seconds."""
    waiting: dict[K, float] = field(default_factory=dict)
    active: dict[K, float] = field(default_factory=dict)
    failures: dict[K, int] = field(default_factory=dict)
    _heap: list[tuple[float, int, K]] = field(default_factory=list)
    _count: int = 0

    def add(self, key: K, due: float) -> None:
        """Make a key due at a time; of several times the earliest counts."""
        if self.waiting.get(key, float("inf")) <= due:
            return
        self.waiting[key] = due
        if key not in self.active:
            self._push(key, due)

    def take(self, now: float) -> K | None:
        """Return the key that has been due for longest and mark it active; None where nothing is due."""
        due = self.next_due()
        if due is None or due > now:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self.waiting[key]
        self.active[key] = now
        return key

    def done(self, key: K) -> None:
        """Say that work on a key ended; what was added meanwhile becomes due."""
        del self.active[key]
        if key in self.waiting:
            self._push(key, self.waiting[key])

    def next_due(self) -> float | None:
        """Return the earliest due time of a key that nobody works on."""
        while self._heap:
            due, _, key = self._heap[0]
            if self.waiting.get(key) == due and key not in self.active:
                return due
            heapq.heappop(self._heap)
        return None

    def failed(self, key: K) -> float:
        """Count a failure in a row and return the seconds to wait, before jitter."""
        n = self.failures.get(key, 0)
        self.failures[key] = n + 1
        # 2**20 is beyond any cap; larger powers would overflow a float after a long outage.
        return min(self.cap, self.base * 2.0 ** min(n, 20))

    def forget(self, key: K) -> None:
        """Forget the failures of a key: it went well."""
        self.failures.pop(key, None)

    def lag(self, now: float) -> float:
        """Return by how many seconds the oldest waiting key is overdue; 0 where none is."""
        due = self.next_due()
        return 0.0 if due is None else max(0.0, now - due)

    def longest_active(self, now: float) -> float:
        """Return for how many seconds the slowest active key has been worked on."""
        return max((now - since for since in self.active.values()), default=0.0)

    def _push(self, key: K, due: float) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
