"""The models as one unit sees them: whom a role's call goes to, how often it is tried, and what it has cost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
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
from toolorch_evaluator.call import Call
from toolorch_evaluator.chat import Chat
from toolorch_evaluator.endpoints import choose
from toolorch_evaluator.overflow import is_enough
from toolorch_evaluator.refusals import Trouble
from toolorch_evaluator.sending import Request
from toolorch_evaluator.unwanted import RENAMED, leave_out, may_leave_out
from toolorch_evaluator.wire import Answer, build_body

# A call whose servers die so often has killed them, or meets servers that would die of any call.
LOSSES_ALLOWED = 3


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
        wants: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Ask the role's model for its next message: see `Ask`."""
        player = self._chat.roles.get(role)
        if player is None:
            raise ModelError("role_not_played", f"the spec names no pool for role {role}")
        n = self._counts[role] = self._counts.get(role, 0) + 1
        if role == "agent" and tools and player.tool_choice != "none":
            self.account.tools_offered = True
        call = Call(self._unit, role, n, player.pool)
        try:
            outcome = await self._try_until_settled(call, self._request(call, player, messages, tools, seed, wants))
            return self._settle(call, outcome)
        finally:
            if call.answer is None and call.endpoint:
                self.account.failed_at = f"{call.pool}/{call.endpoint}"
            self._chat.profile.add(call.event())

    def _request(
        self,
        call: Call,
        player: Role,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        seed: int | None,
        wants: Mapping[str, Any] | None,
    ) -> Request:
        run, temperature = self._chat.run, self._chat.default_temperature
        body = build_body(player, run.pools[call.pool], messages, tools, seed, temperature, wants)
        known = self._chat.unwanted[call.pool] & body.keys()
        self._note_left_out(known, call.role)
        return Request(
            body=leave_out(body, known),
            id=f"{run.name}/{self._unit.key}/{call.role}/{call.n}",
            seconds=run.spec.deadlines.call_seconds,
            stream=player.stream,
        )

    def _settle(self, call: Call, outcome: Answer | Trouble) -> Reply:
        if isinstance(outcome, Answer):
            return self._take(call, outcome)
        message = f"{call.role} at {call.pool}/{call.endpoint}: {outcome.message}"
        if call.losses >= self._losses_allowed:
            call.cause = "model_server_lost"
            raise ModelServerLostError(message, call.losses, call.beside)
        call.cause = outcome.cause
        if outcome.overflow:
            raise ContextWindowExceededError(message)
        raise ModelError(outcome.cause, message)

    def _take(self, call: Call, answer: Answer) -> Reply:
        """Book an answer, which has cost what it cost even where nobody can read it."""
        call.answer, call.cause = answer, "invalid_reply" if answer.unreadable else ""
        self._chat.book(answer)
        self.account.add(call.role, f"{call.pool}/{call.endpoint}", answer)
        if answer.unreadable:
            raise InvalidReplyError(answer.unreadable)
        return answer.reply

    async def _try_until_settled(self, call: Call, request: Request) -> Answer | Trouble:
        patience = self._chat.patience
        failed: set[str] = set()
        while True:
            outcome = await self._try(call, request, failed)
            if isinstance(outcome, Answer):
                return outcome
            other = _shorten(call, request, outcome) or self._leave_out(call, request, outcome)
            if other is not None:
                request = other
                continue
            is_lost = call.losses >= self._losses_allowed
            if not outcome.passing or is_lost or call.tries >= patience.tries:
                return outcome
            failed.add(call.endpoint)
            await asyncio.sleep(patience.pause(call.tries, outcome.pause))

    def _leave_out(self, call: Call, request: Request, trouble: Trouble) -> Request | None:
        """Return the request without the field that the server refuses, where the spec does not insist on it."""
        field = trouble.unwanted
        role, pool = self._chat.roles[call.role], self._chat.run.pools[call.pool]
        if field not in request.body or not may_leave_out(field, role, pool):
            return None
        self._chat.unwanted[call.pool].add(field)
        self._note_left_out([field], call.role)
        return replace(request, body=leave_out(request.body, [field]))

    def _note_left_out(self, fields: Iterable[str], role: str) -> None:
        self.account.left_out.update(f"{field}_{role}" for field in fields if field not in RENAMED)

    async def _try(self, call: Call, request: Request, failed: set[str]) -> Answer | Trouble:
        endpoint = await self._ready_endpoint(call, failed)
        with call.trying(endpoint.name):
            outcome = await self._chat.attempt(self._unit, call.pool, endpoint, request)
        if isinstance(outcome, Trouble):
            call.note(outcome)
        return outcome

    async def _ready_endpoint(self, call: Call, failed: set[str]) -> Endpoint:
        """Return the endpoint to try next, waiting while none is ready; the unit's deadline bounds the wait."""
        while True:
            endpoints = self._chat.files.endpoints(call.pool)
            if all(e.name in failed for e in endpoints if e.ready):
                failed.clear()
            if endpoint := self._home(call.pool, endpoints, failed):
                return endpoint
            with call.waiting():
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


def _shorten(call: Call, request: Request, trouble: Trouble) -> Request | None:
    """Return the request for a shorter answer where the conversation leaves room for one that is worth having."""
    sent = request.body.get("max_tokens")
    if trouble.left is None or sent is None or not is_enough(trouble.left, sent + call.cut_tokens):
        return None
    call.cut_tokens += sent - trouble.left
    return replace(request, body={**request.body, "max_tokens": trouble.left})
