"""The queue between watch events and reconcile: keyed, deduplicating, serial per key, with backoff. EDGE."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from toolorch_operator.errors import Conflict, EdgeError
from toolorch_operator.metrics import Metrics
from toolorch_operator.owner import Key
from toolorch_operator.schedule import RETRY_CAP, Schedule

WORKERS = 8
RECONCILE_TIMEOUT = 120.0
"""Seconds; a full audit of the largest runs lists 100 pages (about 15 s) and must fit well."""
STUCK_AFTER = 180.0
"""Seconds that a key may be overdue or worked on before liveness fails: the timeout and a margin."""

log = structlog.get_logger("workqueue")


class WorkQueue:
    """Keys to reconcile; `clock` counts seconds, `jitter` returns a factor around 1 for retries.

    No retry waits for longer than `cap` seconds: the resync would come then anyway.
    """

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float], cap: float = RETRY_CAP) -> None:
        self._clock = clock
        self._jitter = jitter
        self._schedule: Schedule[Key] = Schedule(cap=cap)
        self._changed = asyncio.Event()
        self.closed = False

    def add(self, key: Key, after: float = 0.0) -> None:
        """Have a key reconciled in `after` seconds, or earlier if it is due earlier."""
        self._schedule.add(key, self._clock() + after)
        self._changed.set()

    async def get(self) -> Key | None:
        """Wait for a key that is due and return it; None once the queue is closed."""
        while not self.closed:
            key = self._schedule.take(self._clock())
            if key is not None:
                return key
            self._changed.clear()
            due = self._schedule.next_due()
            try:
                await asyncio.wait_for(self._changed.wait(), None if due is None else max(0.0, due - self._clock()))
            except TimeoutError:
                continue
        return None

    def done(self, key: Key) -> None:
        """Say that work on a key ended."""
        self._schedule.done(key)
        self._changed.set()

    def retry(self, key: Key) -> float:
        """Have a key reconciled after its backoff; return the seconds."""
        after = self._schedule.failed(key) * self._jitter()
        self.add(key, after)
        return after

    def forget(self, key: Key) -> None:
        """Reset a key's backoff."""
        self._schedule.forget(key)

    def close(self) -> None:
        """Hand out no more keys; waiting getters return None."""
        self.closed = True
        self._changed.set()

    @property
    def depth(self) -> int:
        """Number of keys that wait, due or not."""
        return len(self._schedule.waiting)

    @property
    def lag(self) -> float:
        """Seconds that the oldest key is overdue."""
        return self._schedule.lag(self._clock())

    @property
    def is_stuck(self) -> bool:
        """Tell whether no progress is made: what liveness asks."""
        return max(self.lag, self._schedule.longest_active(self._clock())) > STUCK_AFTER


Reconcile = Callable[[Key], Awaitable[timedelta | None]]


async def run_worker(queue: WorkQueue, reconcile: Reconcile, metrics: Metrics) -> None:
    """Reconcile keys until the queue closes; every error ends here, as a later try of that key."""
    while (key := await queue.get()) is not None:
        try:
            with metrics.time_reconcile(key.kind):
                async with asyncio.timeout(RECONCILE_TIMEOUT):
                    after = await reconcile(key)
            queue.forget(key)
            if after is not None:
                queue.add(key, after.total_seconds())
        except (EdgeError, TimeoutError) as error:
            _retry_later(queue, key, error, metrics)
        except Exception:  # a bug in one key must not stop the others
            metrics.count_error(key.kind, "Bug")
            log.exception("bug", key=str(key), retry_after=round(queue.retry(key), 1))
        finally:
            queue.done(key)


def _retry_later(queue: WorkQueue, key: Key, error: EdgeError | TimeoutError, metrics: Metrics) -> None:
    reason = error.reason if isinstance(error, EdgeError) else "Timeout"
    metrics.count_error(key.kind, reason)
    asked = error.retry_after if isinstance(error, EdgeError) else None
    if asked is None:
        after = queue.retry(key)
    else:
        after = asked
        queue.add(key, after)
    # That somebody else wrote first is no trouble: the next look sees what they wrote.
    level = logging.DEBUG if isinstance(error, Conflict) else logging.WARNING
    log.log(level, "retry", key=str(key), reason=reason, error=str(error), retry_after=round(after, 2))
