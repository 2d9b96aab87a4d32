"""The ladder: counts crashes, each once, and decides what changes, how far, and when to stop. PURE.

Which remedy a class has stands in `rungs`; bounds come from spec.remediation; the counts live in status.ladder.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.modelpool_status import MAX_REMEDIATIONS, Effective, Ladder, RemediationRecord
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.memory.bracket import is_closed, is_too_low, with_verdict
from toolorch_operator.modelpool.memory.changes import RESTART, Change, Situation, step_key, utilization
from toolorch_operator.modelpool.memory.counts import restarts_of, with_key, with_restart, with_step
from toolorch_operator.modelpool.memory.crashes import Crash, Limits
from toolorch_operator.modelpool.memory.limits import RESTART_FIELD
from toolorch_operator.modelpool.memory.rungs import find_step
from toolorch_operator.modelpool.memory.stalls import Stall, explain
from toolorch_operator.raw import digest

__all__ = [
    "Climb", "Stall", "climb", "find_stall", "initial_effective", "is_current", "keep_latest", "spec_hash", "start",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Climb:
    """Where the ladder stands after a look at the crashes."""

    ladder: Ladder
    effective: Effective
    records: tuple[RemediationRecord, ...] = ()
    """Changes made by this look, newest last; each is an Event."""
    reasons: tuple[PoolReason, ...] = ()
    """The Events' reasons, one per record."""


def start(spec: ModelPoolSpec, ladder: Ladder, effective: Effective, generation: int) -> Climb:
    """Return where the ladder stands before this look: as remembered, or afresh where the spec changed."""
    wanted = spec_hash(spec)
    if ladder.spec_hash != wanted:
        return Climb(Ladder(generation=generation, spec_hash=wanted), initial_effective(spec))
    # An earlier version of this program did not know all of the settings, and no remedy takes one away.
    return Climb(ladder, initial_effective(spec).model_copy(update=effective.model_dump(exclude_none=True)))


def climb(spec: ModelPoolSpec, begin: Climb, crashes: Sequence[Crash], now: datetime) -> Climb:
    """Count the crashes that were not counted yet and return the settings that they lead to."""
    at, present = begin, {crash.key for crash in crashes}
    for crash in crashes:
        if is_current(spec, at, crash) and crash.key not in at.ladder.counted:
            at = _step(spec, at, crash, now, present)
    return at


def _step(spec: ModelPoolSpec, at: Climb, crash: Crash, now: datetime, present: Collection[str]) -> Climb:
    found = _situation(spec, at, crash)
    step = find_step(found)
    if step is not None and _is_shared(at, crash, step[1]):
        return _count_silently(at, crash, present)
    if step is None or at.ladder.attempts >= spec.remediation.max_attempts:
        # What it says is kept all the same: it may close the bracket for a crash of the other kind.
        return replace(at, ladder=found.ladder)
    rung, change = step
    ladder = _forget_verdict(found, change).model_copy(
        update={
            "attempts": at.ladder.attempts + 1,
            "last_crash": crash.key,
            "superseded": at.ladder.superseded if change.field == RESTART_FIELD else crash.template,
            "counted": with_key(at.ladder.counted, crash.key, present) or [*at.ladder.counted[1:], crash.key],
            "steps": with_step(at.ladder.steps, crash, rung.remedy or RESTART),
        }
    )
    return Climb(
        ladder=ladder,
        effective=change.effective,
        records=(*at.records, _record(change, crash, now)),
        reasons=(*at.reasons, change.reason),
    )


def _record(change: Change, crash: Crash, now: datetime) -> RemediationRecord:
    return RemediationRecord(
        time=now,
        instance=crash.instance,
        signature=crash.signature,
        field=change.field,
        from_=change.before,
        to=change.after,
    )


def _is_shared(at: Climb, crash: Crash, change: Change) -> bool:
    """Tell whether a restart was already counted for another replica that fell with this one."""
    is_restart = change.field == RESTART_FIELD
    return is_restart and restarts_of(crash, at.ladder.steps) < at.ladder.steps.get(step_key(crash, RESTART), 0)


def _count_silently(at: Climb, crash: Crash, present: Collection[str]) -> Climb:
    counted = with_key(at.ladder.counted, crash.key, present)
    if counted is None:
        return at
    steps = with_restart(at.ladder.steps, crash)
    return replace(at, ladder=at.ladder.model_copy(update={"counted": counted, "steps": steps}))


def _forget_verdict(found: Situation, change: Change) -> Ladder:
    """Return the ladder with the verdict, unless less to hold makes room in a KV cache that was too small."""
    is_less_to_hold = is_too_low(found.crash) and change.field != "gpuMemoryUtilization"
    if is_less_to_hold and not is_closed(found.ladder):
        return found.ladder.model_copy(update={"too_low": None})
    return found.ladder


def _situation(spec: ModelPoolSpec, at: Climb, crash: Crash) -> Situation:
    return Situation(spec, with_verdict(at.ladder, crash, utilization(spec, at.effective)), at.effective, crash)


def is_current(spec: ModelPoolSpec, at: Climb, crash: Crash) -> bool:
    """Tell whether a crash says something about the settings that hold now, and not about earlier ones."""
    now = at.effective
    return (
        crash.spec_hash in ("", at.ladder.spec_hash)
        and crash.utilization in (None, utilization(spec, now))
        and crash.limits in (None, Limits(now.max_model_len, now.max_num_seqs, now.max_num_batched_tokens))
        and (not crash.template or crash.template != at.ladder.superseded)
    )


def find_stall(spec: ModelPoolSpec, at: Climb, crash: Crash) -> Stall | None:
    """Return why a current crash changes nothing any more, or None where the ladder has acted or can act on it."""
    if crash.key in at.ladder.counted:
        return None
    found = _situation(spec, at, crash)
    step = find_step(found)
    is_spent = at.ladder.attempts >= spec.remediation.max_attempts
    if step is not None and (not is_spent or _is_shared(at, crash, step[1])):
        return None
    return explain(found)


def initial_effective(spec: ModelPoolSpec) -> Effective:
    """Return the settings of the spec, before any remediation."""
    return Effective(
        gpu_memory_utilization=spec.gpu_memory_utilization,
        max_model_len=spec.max_model_len,
        max_num_seqs=spec.max_num_seqs,
        max_num_batched_tokens=spec.max_num_batched_tokens,
        memory=spec.resources.memory,
    )


def keep_latest(records: Sequence[RemediationRecord], new: Sequence[RemediationRecord]) -> list[RemediationRecord]:
    """Return the remediations that status shows, newest last."""
    return [*records, *new][-MAX_REMEDIATIONS:]


# What never reaches a pod: how many servers there are, in which order they are placed and started, how they are proven.
_NO_MATTER: dict[str, Any] = {
    "replicas": True, "preflight": True, "chat_template_kwargs": True, "external": True, "idle_after_seconds": True,
    "startup": {"max_concurrent_per_node", "settle_seconds"}, "placement": {"strategy"},
    # Of remediation, the ladder's own bounds matter: values that were reached within others may lie outside.
    "remediation": {"max_attempts", "allow"},
}  # fmt: skip


def spec_hash(spec: ModelPoolSpec) -> str:
    """Return 12 hex digits over the fields that a pod is made of; fields at their default do not count."""
    fields = spec.model_dump(mode="json", by_alias=True, exclude=_NO_MATTER, exclude_defaults=True)
    told = {name: value for name, value in fields.items() if value != {}}
    return digest(told, 12)
