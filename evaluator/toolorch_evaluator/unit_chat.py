"""The models as one unit sees them: whom a role's call goes to, how often it is tried, and what it has cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from toolorch_api.roles import Role
from toolorch_api.shard import Endpoint, Unit
from toolorch_evaluator.account import Account
from toolorch_evaluator.benchmarks.base import (
    ContextWindowExceededError,
    InvalidReplyError,
    ModelError,
    ModelServerLostError,
    Reply,
)
from toolorch_evaluator.chat import Chat
from toolorch_evaluator.endpoints import choose
from toolorch_evaluator.profile import CallEvent
from toolorch_evaluator.wire import Answer, Trouble, build_body

# A call whose servers die so often has killed them, or meets servers that would die of any call.
LOSSES_ALLOWED = 3


@dataclass(slots=True)
class _Call:
    """How a call stands: where it was tried last, and how that ended."""

    role: str
    n: int
    pool: str
    at: datetime
    began: float
    try_began: float
    tries: int = 0
    losses: int = 0
    """Tries in which the server died."""
    endpoint: str = ""
    cause: str = "cut_off"
    answer: Answer | None = None


class UnitChat:
    """An `Ask` for one unit; a call is given up when `losses_allowed` servers have died of it."""

    def __init__(self, chat: Chat, unit: Unit, losses_allowed: int = LOSSES_ALLOWED) -> None:
        self._chat = chat
        self._unit = unit
        self._losses_allowed = losses_allowed
        self._counts: dict[str, int] = {}
        self._homes: dict[str, str] = {}
        self.account = Account()

    def close(self) -> None:
        """Let go of the unit's endpoints: another unit may take its place there."""
        for pool in list(self._homes):
            self._settle_at(pool, None)

    async def __call__(
        self,
        role: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
    ) -> Reply:
        """Ask the role's model for its next message: see `Ask`."""
        player = self._chat.roles.get(role)
        if player is None:
            raise ModelError("role_not_played", f"the spec names no pool for role {role}")
        n = self._counts[role] = self._counts.get(role, 0) + 1
        now = time.monotonic()
        call = _Call(role, n, player.pool, datetime.now(UTC), began=now, try_began=now)
        try:
            return await self._settle(call, player, messages, tools, seed)
        except InvalidReplyError:
            call.cause = "invalid_reply"
            raise
        finally:
            if call.answer is None and call.endpoint:
                self.account.failed_at = f"{call.pool}/{call.endpoint}"
            self._chat.profile.add(self._event(call, time.monotonic()))

    async def _settle(
        self,
        call: _Call,
        player: Role,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        seed: int | None,
    ) -> Reply:
        pool = self._chat.run.pools[player.pool]
        if call.role == "agent" and tools and player.tool_choice != "none":
            self.account.tools_offered = True
        body = build_body(player, pool, messages, tools, seed, self._chat.default_temperature)
        outcome = await self._try_until_settled(call, body)
        if isinstance(outcome, Answer):
            call.answer, call.cause = outcome, ""
            self._chat.book(outcome)
            self.account.add(call.role, f"{call.pool}/{call.endpoint}", outcome)
            return outcome.reply
        message = f"{call.role} at {call.pool}/{call.endpoint}: {outcome.message}"
        if call.losses >= self._losses_allowed:
            call.cause = "model_server_lost"
            raise ModelServerLostError(message, call.losses)
        call.cause = outcome.cause
        if outcome.overflow:
            raise ContextWindowExceededError(message)
        raise ModelError(outcome.cause, message)

    async def _try_until_settled(self, call: _Call, body: Mapping[str, Any]) -> Answer | Trouble:
        patience = self._chat.patience
        request_id = f"{self._chat.run.name}/{self._unit.key}/{call.role}/{call.n}"
        failed: set[str] = set()
        while True:
            endpoint = await self._ready_endpoint(call.pool, failed)
            call.endpoint, call.tries, call.try_began = endpoint.name, call.tries + 1, time.monotonic()
            outcome = await self._chat.attempt(call.pool, endpoint, body, request_id)
            if isinstance(outcome, Answer) or not outcome.passing:
                return outcome
            call.losses += outcome.lost
            if call.losses >= self._losses_allowed or call.tries >= patience.tries:
                return outcome
            failed.add(endpoint.name)
            await asyncio.sleep(patience.pause(call.tries, outcome.pause))

    async def _ready_endpoint(self, pool: str, failed: set[str]) -> Endpoint:
        """Return the endpoint to try next, waiting while none is ready; the unit's deadline bounds the wait."""
        while True:
            endpoints = self._chat.files.endpoints(pool)
            if all(e.name in failed for e in endpoints if e.ready):
                failed.clear()
            if endpoint := self._home(pool, endpoints, failed):
                return endpoint
            await asyncio.sleep(self._chat.patience.poll)

    def _home(self, pool: str, endpoints: Sequence[Endpoint], failed: set[str]) -> Endpoint | None:
        """Return the endpoint that the unit stays with, since its prefix is cached there; a new one if it must move."""
        at = self._homes.get(pool)
        for endpoint in endpoints:
            if endpoint.name == at and endpoint.ready and at not in failed:
                return endpoint
        chosen = choose(endpoints, self._unit.key, failed, self._chat.load[pool])
        self._settle_at(pool, chosen.name if chosen else None)
        return chosen

    def _settle_at(self, pool: str, name: str | None) -> None:
        load, left = self._chat.load[pool], self._homes.pop(pool, None)
        if left is not None:
            load[left] -= 1
        if name is not None:
            load[name] += 1
            self._homes[pool] = name

    def _event(self, call: _Call, now: float) -> CallEvent:
        return CallEvent(
            unit=self._unit.key,
            role=call.role,
            n=call.n,
            pool=call.pool,
            endpoint=call.endpoint,
            served=call.answer.served if call.answer else "",
            at=call.at.isoformat(timespec="milliseconds"),
            ms=round((now - call.try_began) * 1000),
            waited_ms=round((call.try_began - call.began) * 1000),
            tries=call.tries,
            prompt_tokens=call.answer.prompt_tokens if call.answer else 0,
            completion_tokens=call.answer.completion_tokens if call.answer else 0,
            finish_reason=call.answer.finish_reason if call.answer else "",
            cause=call.cause,
        )
