"""One call of a unit while it lasts: where it was tried, how each try ended, and the event that is left of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from toolorch_api.shard import Unit
from toolorch_evaluator.profile import CallEvent
from toolorch_evaluator.refusals import Trouble
from toolorch_evaluator.wire import Answer


@dataclass(slots=True)
class Call:
    """A role's n-th call in its unit."""

    unit: Unit
    role: str
    n: int
    pool: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    unready: float = 0.0
    """Seconds in which no endpoint was ready."""
    tries: int = 0
    failed: list[str] = field(default_factory=list)
    """Causes of the tries that failed."""
    losses: int = 0
    """Tries in which the server died."""
    beside: frozenset[Unit] = frozenset()
    """Other units that had a request at one of those servers."""
    cut_tokens: int = 0
    endpoint: str = ""
    answer: Answer | None = None
    cause: str = "cut_off"
    _try_began: float = 0.0
    _try_ended: float = 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block's time as time without a ready endpoint."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.unready += time.monotonic() - began

    @contextlib.contextmanager
    def trying(self, endpoint: str) -> Iterator[None]:
        """Take the block for one more try."""
        self.endpoint, self.tries = endpoint, self.tries + 1
        self._try_began = time.monotonic()
        try:
            yield
        finally:
            self._try_ended = time.monotonic()

    def note(self, trouble: Trouble) -> None:
        """Take down how a try failed."""
        self.failed.append("model_server_lost" if trouble.lost else trouble.cause)
        self.losses += trouble.lost
        self.beside |= trouble.beside

    def event(self) -> CallEvent:
        """Return what is left of the call, now that it is over."""
        tried_from = self._try_began or time.monotonic()
        answer = self.answer
        first = answer.first_seconds if answer else None
        return CallEvent(
            unit=self.unit.key,
            role=self.role,
            n=self.n,
            pool=self.pool,
            endpoint=self.endpoint,
            served=answer.served if answer else "",
            at=self.at.isoformat(timespec="milliseconds"),
            ms=round((self._try_ended - self._try_began) * 1000),
            first_ms=None if first is None else round(first * 1000),
            waited_ms=round((tried_from - self.began) * 1000),
            unready_ms=round(self.unready * 1000),
            tries=self.tries,
            failed=self.failed,
            prompt_tokens=answer.prompt_tokens if answer else 0,
            completion_tokens=answer.completion_tokens if answer else 0,
            cut_tokens=self.cut_tokens,
            finish_reason=answer.finish_reason if answer else "",
            cause=self.cause,
        )
