"""The engine behind the port: what becomes of each request that it is given, and of the engine itself."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable

from toolorch_mock.chat_request import ApiError
from toolorch_mock.counters import Counters
from toolorch_mock.faults import Fate, FaultSettings, choose_fate
from toolorch_mock.last_words import ENGINE_DEAD
from toolorch_mock.variables import ERROR_PERCENT

_INJECTED = f"This failure was asked for by {ERROR_PERCENT}."
# A request that takes long writes a token so often: slow is not stuck.
_TOKEN_SECONDS = 1.0


class Engine:
    """Serves requests until its faults say otherwise; `die` is called once, when it runs out of memory."""

    def __init__(
        self,
        faults: FaultSettings,
        dies_after: int | None,
        die: Callable[[], None],
        token_seconds: float = _TOKEN_SECONDS,
    ) -> None:
        self.counters = Counters()
        self._faults = faults
        self._dies_after = math.inf if dies_after is None else dies_after
        self._hangs_after = math.inf if faults.hangs_after_requests is None else faults.hangs_after_requests
        self._die = die
        self._token_seconds = token_seconds
        self._taken = 0
        self._dead = asyncio.Event()
        self._tries: Counter[str] = Counter()

    @property
    def is_dead(self) -> bool:
        """Whether it has died."""
        return self._dead.is_set()

    @property
    def _hangs(self) -> bool:
        return self._taken > self._hangs_after

    async def work(self, request_id: str) -> None:
        """Take as long as a request takes; raises ApiError for one that fails."""
        self.counters.running += 1
        try:
            self._take()
            await self._suffer(request_id)
        except asyncio.CancelledError:
            self.counters.finished["abort"] += 0 if self._hangs else 1
            raise
        finally:
            # An engine that hangs does not even notice that a client has gone.
            self.counters.running -= 0 if self._hangs and not self.is_dead else 1

    def _take(self) -> None:
        self._taken += 1
        if self._taken > self._dies_after and not self.is_dead:
            self._dead.set()
            self._die()

    async def _suffer(self, request_id: str) -> None:
        """Let latency and faults fall on a request."""
        await self._pass(self._faults.latency_ms / 1000)
        if not self._faults.falls_on_requests:
            return
        # Requests without an id share one count, so that each of them is drawn anew.
        self._tries[request_id] += 1
        fate = choose_fate(self._faults, request_id, self._tries[request_id])
        if fate is Fate.HANG:
            await self._pass(math.inf)
        if fate is Fate.ERROR:
            raise ApiError(500, "InternalServerError", _INJECTED)

    async def _pass(self, seconds: float) -> None:
        """Let time pass in which tokens are written; raises ApiError when the engine dies meanwhile."""
        while seconds > 0 and not self.is_dead and not self._hangs:
            step = min(seconds, self._token_seconds)
            await self._wait(step)
            seconds -= step
            if seconds > 0 and not self._hangs:
                self.counters.write_token()
        if self._hangs:
            await self._dead.wait()
        if self.is_dead:
            raise ApiError(500, "InternalServerError", ENGINE_DEAD)

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._dead.wait(), seconds)
        except TimeoutError:
            return
