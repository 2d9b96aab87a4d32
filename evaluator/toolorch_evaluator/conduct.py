"""One unit, from its first message to its stored result.

Conversation and grading are two commits: a transcript that is stored is never talked again, whatever grading does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from toolorch_api.keys import error_key, result_key, transcript_key
from toolorch_api.shard import Result, RunInput, Unit, UnitStatus
from toolorch_evaluator.account import Account
from toolorch_evaluator.benchmarks.base import (
    Benchmark,
    ContextWindowExceededError,
    InvalidReplyError,
    ModelError,
    ModelServerLostError,
)
from toolorch_evaluator.caution import Caution
from toolorch_evaluator.chat import Chat
from toolorch_evaluator.exits import StepError
from toolorch_evaluator.held import Turn
from toolorch_evaluator.results import Results
from toolorch_evaluator.stored import (
    Conversation,
    Evidence,
    Outcome,
    RefusedResultError,
    build_result,
    grade,
    infra_error,
    lost,
    pack,
    parse_result,
    to_json,
    unpack,
    with_judge,
)
from toolorch_evaluator.tally import Ended
from toolorch_evaluator.unit_chat import LOSSES_ALLOWED, UnitChat

log = structlog.get_logger(__name__)

# Its servers have died of it before: one more death says what there is to know.
LOSSES_ALLOWED_ALONE = 1


@dataclass(frozen=True, slots=True)
class Conductor:
    """Brings units to their end; one per shard."""

    run: RunInput
    benchmark: Benchmark
    results: Results
    chat: Chat
    caution: Caution
    attempt: int
    shard: int
    pod: str

    async def conduct(self, turn: Turn) -> Ended:
        """Bring a unit to its end and store how it ended; raises StorageError where that cannot be stored."""
        unit = turn.unit
        held = (await self._stored(unit) if turn.talked else None) or await self._converse(turn)
        if isinstance(held, Conversation):
            held = await self._grade(turn, held)
        return await self._commit(unit, held)

    async def _converse(self, turn: Turn) -> Conversation | Result:
        """Hold and store the conversation; what stops it becomes the unit's result."""
        unit = turn.unit
        losses = LOSSES_ALLOWED_ALONE if turn.alone else LOSSES_ALLOWED
        ask, began = UnitChat(self.chat, unit, losses), datetime.now(UTC)
        try:
            held = await self._hold(turn, ask)
        finally:
            ask.close()
        evidence = self._evidence(ask.account, began)
        if isinstance(held, Outcome):
            # Where another pod has stored a conversation meanwhile, that one is graded.
            first = await self._stored(unit) if held.status is UnitStatus.FAILED else None
            return first or build_result(unit, held, evidence, self.shard)
        return await self._keep(unit, Conversation(held, evidence))

    async def _hold(self, turn: Turn, ask: UnitChat) -> Mapping[str, Any] | Outcome:
        seconds = self.run.spec.deadlines.unit_seconds
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await self.benchmark.converse(turn.unit, self.run.spec, ask)
        except ContextWindowExceededError as error:
            return lost("context_window_exceeded", str(error))
        except InvalidReplyError as error:
            return lost("invalid_reply", str(error))
        except ModelServerLostError as error:
            await self.caution.note_server(turn.index, error.beside, error.losses, str(error))
            return infra_error(error.cause, str(error))
        except ModelError as error:
            return infra_error(error.cause, str(error))
        except StepError:
            raise
        except Exception as error:  # one unit's bug must not end the others
            if deadline.expired():
                return infra_error("unit_deadline", f"not ended within {seconds} s")
            log.exception("unit_broke", unit=turn.unit.key)
            return infra_error("internal_error", f"{type(error).__name__}: {error}")

    async def _keep(self, unit: Unit, held: Conversation) -> Conversation:
        """Store a conversation; where another pod was first, its conversation is the unit's."""
        key = transcript_key(unit)
        if await self.results.put_new(key, pack(held)):
            return held
        if (first := await self._stored(unit)) is not None:
            return first
        await self.results.put(key, pack(held))  # what was there is damaged
        return held

    async def _stored(self, unit: Unit) -> Conversation | None:
        body = await self.results.get(transcript_key(unit))
        return unpack(body, self.run.spec_hash) if body is not None else None

    async def _grade(self, turn: Turn, held: Conversation) -> Result:
        """Have a conversation judged where its benchmark wants it, and grade it."""
        ask = UnitChat(self.chat, turn.unit, LOSSES_ALLOWED_ALONE if turn.alone else LOSSES_ALLOWED)
        try:
            outcome = await self._judge(turn, held, ask)
        finally:
            ask.close()
        return build_result(turn.unit, outcome, with_judge(held.evidence, ask.account), self.shard)

    async def _judge(self, turn: Turn, held: Conversation, ask: UnitChat) -> Outcome:
        deadline = asyncio.timeout(self.run.spec.deadlines.unit_seconds)
        try:
            async with deadline:
                verdict = await self.benchmark.judge(held.transcript, self.run.spec, ask)
            judged = Conversation({**held.transcript, "verdict": verdict}, held.evidence)
            return grade(judged, self.benchmark.score(judged.transcript))
        except ModelServerLostError as error:
            await self.caution.note_server(turn.index, error.beside, error.losses, str(error))
            return infra_error(error.cause, str(error))
        except ModelError as error:
            return infra_error(error.cause, str(error))
        except StepError:
            raise
        except Exception as error:  # a bug in grading leaves the transcript for a later attempt
            if deadline.expired():
                return infra_error("judge_deadline", "the judge gave no verdict within the unit's deadline")
            log.exception("grading_broke", unit=turn.unit.key)
            return infra_error("grading_failed", f"{type(error).__name__}: {error}")

    async def _commit(self, unit: Unit, result: Result) -> Ended:
        """Store a result: final ones once and for all, infra errors over earlier ones."""
        body = to_json(result.model_dump(mode="json", by_alias=True))
        if result.status is UnitStatus.INFRA_ERROR:
            await self.results.put(error_key(unit), body)
            return Ended(result)
        if await self.results.put_new(result_key(unit), body):
            return Ended(result)
        first = await self.results.get(result_key(unit))
        # One's own, where the answer to the write was lost.
        return Ended(result) if first in (None, body) else await self._take(unit, first or b"", result)

    async def _take(self, unit: Unit, first: bytes, own: Result) -> Ended:
        """Return the result that was there first; one that is refused leaves the unit unscored."""
        try:
            return Ended(parse_result(first, unit, self.run.spec_hash), here=False)
        except RefusedResultError as error:
            why = f"{result_key(unit)} is {error}, and nothing is ever written over it"
            refused = infra_error("result_refused", why)
            evidence = Evidence(**{name: getattr(own, name) for name in Evidence.model_fields})
            return await self._commit(unit, build_result(unit, refused, evidence, self.shard))

    def _evidence(self, account: Account, began: datetime) -> Evidence:
        return Evidence(
            spec_hash=self.run.spec_hash,
            attempt=self.attempt,
            pod=self.pod,
            started_at=began,
            ended_at=datetime.now(UTC),
            usage=account.usage,
            tool_calls=account.tool_calls,
            calls=dict(account.by_role),
            counts=account.counts,
            endpoints=sorted(account.endpoints),
            served=account.served,
            tools_offered=account.tools_offered,
            endpoint=account.failed_at,
            outputs=account.outputs,
        )
