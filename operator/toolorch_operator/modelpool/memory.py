"""The ladder: counts crashes, each once, and decides what changes, how far, and when to stop. PURE.

Which remedy a class has stands in `rungs`; bounds come from spec.remediation; the counts live in status.ladder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.modelpool_status import MAX_REMEDIATIONS, Effective, Ladder, RemediationRecord
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.advice import advise
from toolorch_operator.modelpool.crashes import NO_CLASS, Crash
from toolorch_operator.modelpool.rungs import LADDER, Change, utilization

# As many as the schema of status.ladder.counted takes.
_MAX_COUNTED = 64


@dataclass(frozen=True, slots=True)
class Stall:
    """Why nothing more is changed, and what the user can do."""

    reason: PoolReason
    message: str


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
    if ladder.spec_hash == wanted:
        return Climb(ladder, effective)
    return Climb(Ladder(generation=generation, spec_hash=wanted), initial_effective(spec))


def climb(spec: ModelPoolSpec, begin: Climb, crashes: Sequence[Crash], now: datetime) -> Climb:
    """Count the crashes that were not counted yet and return the settings that they lead to."""
    at = begin
    for crash in crashes:
        at = _step(spec, at, crash, now)
    return at


def _step(spec: ModelPoolSpec, at: Climb, crash: Crash, now: datetime) -> Climb:
    if not is_current(spec, at, crash) or crash.key in at.ladder.counted:
        return at
    change = _next_change(spec, at, crash)
    if change is None:
        return at
    record = RemediationRecord(
        time=now,
        instance=crash.instance,
        signature=crash.signature,
        field=change.field,
        from_=change.before,
        to=change.after,
    )
    counted = [*at.ladder.counted, crash.key][-_MAX_COUNTED:]
    counts = {"attempts": at.ladder.attempts + 1, "last_crash": crash.key, "counted": counted}
    return replace(
        at,
        ladder=at.ladder.model_copy(update=counts),
        effective=change.effective,
        records=(*at.records, record),
        reasons=(*at.reasons, change.reason),
    )


def _next_change(spec: ModelPoolSpec, at: Climb, crash: Crash) -> Change | None:
    if at.ladder.attempts >= spec.remediation.max_attempts:
        return None
    allowed = (r for r in LADDER.get(crash.signature, ()) if r.remedy in spec.remediation.allow)
    proposals = (rung.propose(spec, at.effective, crash) for rung in allowed)
    return next((change for change in proposals if change is not None), None)


def is_current(spec: ModelPoolSpec, at: Climb, crash: Crash) -> bool:
    """Tell whether a crash says something about the settings that hold now, and not about earlier ones."""
    same_spec = crash.spec_hash in ("", at.ladder.spec_hash)
    return same_spec and crash.utilization in (None, utilization(spec, at.effective))


def find_stall(spec: ModelPoolSpec, at: Climb, crash: Crash) -> Stall | None:
    """Return why a current crash changes nothing any more, or None while the ladder can still act on it."""
    rungs = LADDER.get(crash.signature, ())
    advice = advise(crash)
    if not rungs:
        known = crash.signature != NO_CLASS
        reason = PoolReason.REMEDIATION_UNKNOWN if known else PoolReason.UNCLASSIFIED_CRASH
        return Stall(reason, f"{crash.instance} ended with {_cause(crash)}; it is restarted as it is. {advice}")
    if not any(r.remedy in spec.remediation.allow for r in rungs):
        names = ", ".join(r.remedy for r in rungs)
        return Stall(
            PoolReason.REMEDIATION_NOT_ALLOWED,
            f"{crash.instance} ended with {_cause(crash)}, and remediation.allow lacks {names}. {advice}",
        )
    if at.ladder.attempts >= spec.remediation.max_attempts:
        limit = f"all {spec.remediation.max_attempts} attempts of remediation.maxAttempts are used"
    else:
        limit = f"gpuMemoryUtilization is at its minimum of {utilization(spec, at.effective)}"
    return Stall(
        PoolReason.REMEDIATION_EXHAUSTED, f"{crash.instance} ended with {_cause(crash)}, and {limit}. {advice}"
    )


def _cause(crash: Crash) -> str:
    if crash.signature == NO_CLASS:
        return f"exit code {crash.exit_code} and no known cause in its log"
    return f"{crash.signature} (exit code {crash.exit_code})"


def initial_effective(spec: ModelPoolSpec) -> Effective:
    """Return the settings of the spec, before any remediation."""
    return Effective(
        gpu_memory_utilization=spec.gpu_memory_utilization,
        max_model_len=spec.max_model_len,
        max_num_seqs=spec.max_num_seqs,
        memory=spec.resources.memory,
    )


def keep_latest(records: Sequence[RemediationRecord], new: Sequence[RemediationRecord]) -> list[RemediationRecord]:
    """Return the remediations that status shows, newest last."""
    return [*records, *new][-MAX_REMEDIATIONS:]


# How many servers there are and how they are reached and proven does not change what one of them needs.
_NO_MATTER = {
    "replicas", "served_model_name", "placement", "startup", "preflight", "chat_template_kwargs", "external",
    "idle_after_seconds",
}  # fmt: skip


def spec_hash(spec: ModelPoolSpec) -> str:
    """Return 12 hex digits over the fields that bear on memory; fields at their default do not count."""
    fields = spec.model_dump(mode="json", by_alias=True, exclude=_NO_MATTER, exclude_defaults=True)
    remediation = fields.pop("remediation", {})
    fields["ladder"] = remediation.get("gpuMemoryUtilization", {})
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]
