"""Tries again what storage did not do, with growing pauses, for as long as it may heal and anyone should wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential

from toolorch_api.store_errors import say_store_error

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for storage."""

    seconds: float
    longest_pause: float
    heals: Callable[[BaseException], bool]
    """Whether time may heal an error."""

    async def wait(self, call: Callable[[], Awaitable[T]], key: str, seconds: float | None = None) -> T:
        """Call until it succeeds; raises the last error. `seconds` may shorten the usual wait, `key` is for the log."""

        async def once() -> T:
            return await call()  # tenacity does not await what a lambda returns

        retrying = AsyncRetrying(
            retry=retry_if_exception(self.heals),
            stop=stop_after_delay(self.seconds if seconds is None else min(seconds, self.seconds)),
            wait=wait_random_exponential(multiplier=0.2, max=self.longest_pause),
            before_sleep=lambda state: _log_pause(state, key),
            reraise=True,
        )
        return await retrying(once)


def say(error: BaseException | None) -> str:
    """Return an error of storage in one line."""
    return (say_store_error(str(error)) or type(error).__name__)[:500]


def _log_pause(state: RetryCallState, key: str) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("storage_away", key=key, tries=state.attempt_number, error=say(error))
