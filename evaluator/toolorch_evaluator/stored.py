"""What is stored of a unit: its transcript with the evidence around it, and the result made from them. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import zstandard
from pydantic import Field, ValidationError

from toolorch_api.evalrun_status import Usage
from toolorch_api.meta import StatusModel
from toolorch_api.shard import Result, Unit, UnitStatus
from toolorch_evaluator.account import Account
from toolorch_evaluator.benchmarks.base import Score
from toolorch_evaluator.small_store import unpack_bytes
from toolorch_evaluator.tally import add_usage

# Rewards are products of 0s and 1s: what is this near to 1 is a 1 that went through floats.
PASS_MARK = 1 - 1e-6

EVIDENCE = "run"
"""Key of a transcript under which the evidence stands."""


class Evidence(StatusModel):
    """How a conversation came about: what a result needs besides the transcript, if grading comes later."""

    spec_hash: str
    attempt: int
    pod: str
    started_at: datetime
    ended_at: datetime
    usage: Usage = Usage()
    tool_calls: int = 0
    calls: dict[str, int] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)
    """Of the answers, whatever the benchmark counts."""
    endpoints: list[str] = Field(default_factory=list)
    served: dict[str, str] = Field(default_factory=dict)
    tools_offered: bool = True
    endpoint: str = ""
    outputs: str = ""


def with_judge(evidence: Evidence, account: Account) -> Evidence:
    """Return the evidence of a conversation with what its judge has cost and who it was."""
    if not account.calls and not account.failed_at:
        return evidence
    change = {
        "usage": add_usage((evidence.usage, account.usage)),
        "calls": {**evidence.calls, **account.by_role},
        "counts": {**evidence.counts, **account.counts},
        "endpoints": sorted({*evidence.endpoints, *account.endpoints}),
        "served": {**evidence.served, **account.served},
        "endpoint": account.failed_at or evidence.endpoint,
    }
    return evidence.model_copy(update=change)


class RefusedResultError(Exception):
    """A result object that must not be counted; the text says what it is, such as "of another unit"."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A transcript and its evidence."""

    transcript: Mapping[str, Any]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a unit ended, apart from its evidence."""

    status: UnitStatus
    reward: float | None = None
    breakdown: Mapping[str, float] | None = None
    termination_reason: str = ""
    cause: str = ""
    message: str = ""
    counts: Mapping[str, int] | None = None
    verdict: Mapping[str, Any] | None = None
    profile: str = ""


def pack(conversation: Conversation) -> bytes:
    """Return the conversation as a transcript object's bytes."""
    document = {**conversation.transcript, EVIDENCE: conversation.evidence.model_dump(mode="json", by_alias=True)}
    return zstandard.ZstdCompressor().compress(json.dumps(document, ensure_ascii=False).encode())


def unpack(body: bytes, spec_hash: str) -> Conversation | None:
    """Return the conversation in a transcript object; None where it is damaged or another configuration's."""
    try:
        document = json.loads(unpack_bytes(body))
        evidence = Evidence.model_validate(document.pop(EVIDENCE))
    except (zstandard.ZstdError, ValueError, RecursionError, KeyError, AttributeError, ValidationError):
        return None
    return Conversation(document, evidence) if evidence.spec_hash == spec_hash else None


def grade(conversation: Conversation, score: Score) -> Outcome:
    """Say how a graded conversation ended; without a reward it is an infra error of cause grading_failed."""
    transcript = conversation.transcript
    ended = str(transcript.get("termination_reason", ""))
    counts, verdict = transcript.get("counts"), transcript.get("verdict")
    profile = str(transcript.get("profile") or "")
    if score.reward is None:
        why = score.error or "the benchmark gave no reward"
        return Outcome(UnitStatus.INFRA_ERROR, None, None, ended, "grading_failed", why, counts, verdict, profile)
    status = UnitStatus.PASSED if score.reward >= PASS_MARK else UnitStatus.FAILED
    return Outcome(status, score.reward, score.breakdown, ended, counts=counts, verdict=verdict, profile=profile)


def lost(reason: str, message: str) -> Outcome:
    """Say that the model itself ended the conversation: final, and worth nothing."""
    return Outcome(UnitStatus.FAILED, 0.0, None, reason, "", message)


def infra_error(cause: str, message: str) -> Outcome:
    """Say that something other than the model failed."""
    return Outcome(UnitStatus.INFRA_ERROR, None, None, "infrastructure_error", cause, message)


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as the bytes of an object that people read too."""
    return json.dumps(document, ensure_ascii=False, indent=1).encode()


def parse_result(body: bytes, unit: Unit, spec_hash: str) -> Result:
    """Return the result that a unit's object holds; raises RefusedResultError where it is not that unit's own.

    Results of two configurations are never mixed, nor does one unit's outcome stand for another's.
    """
    try:
        result = Result.model_validate_json(body)
    except ValidationError as error:
        raise RefusedResultError("unreadable") from error
    if result.spec_hash != spec_hash:
        raise RefusedResultError("of another configuration")
    if Unit(result.variant, result.domain, result.task_id, result.trial) != unit:
        raise RefusedResultError("of another unit")
    return result


def build_result(unit: Unit, outcome: Outcome, evidence: Evidence, shard: int) -> Result:
    """Put together the result object of a unit."""
    known = evidence.model_copy(update={"counts": {**(outcome.counts or {}), **evidence.counts}})
    return Result(
        variant=unit.variant,
        domain=unit.domain,
        task_id=unit.task_id,
        trial=unit.trial,
        status=outcome.status,
        reward=outcome.reward,
        reward_breakdown=dict(outcome.breakdown or {}),
        termination_reason=outcome.termination_reason,
        cause=outcome.cause,
        message=outcome.message[:1000],
        verdict=dict(outcome.verdict or {}),
        profile=outcome.profile,
        shard=shard,
        **dict(known),
    )
