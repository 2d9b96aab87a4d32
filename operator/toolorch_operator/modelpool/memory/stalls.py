"""Why the ladder goes no further after a crash: a reason, the limit that was met, and what the user can do. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.memory.advice import BETWEEN, advise, describe_figures
from toolorch_operator.modelpool.memory.bracket import is_closed, is_too_high, is_too_low, is_torn
from toolorch_operator.modelpool.memory.changes import Situation
from toolorch_operator.modelpool.memory.crashes import NO_CLASS, Crash
from toolorch_operator.modelpool.memory.rungs import LADDER, find_step, list_refused

# The exit codes of SIGINT and SIGTERM, on which vLLM ends during its start.
_TERMINATED = (130, 143)
_SERVED = "P4"

# What these are called does not depend on which limit was met: their cause lies outside the settings.
_OWN_REASONS = {
    "SHM": PoolReason.SHARED_MEMORY_TOO_SMALL,
    "LOAD_OOM": PoolReason.MODEL_DOES_NOT_FIT,
    "FREE_LT": PoolReason.GPU_OCCUPIED,
}


@dataclass(frozen=True, slots=True)
class Stall:
    """Why nothing more is changed, and what the user can do."""

    reason: PoolReason
    message: str


def explain(s: Situation) -> Stall:
    """Return why the ladder does not act on a crash."""
    if s.crash.signature not in LADDER:
        return _explain_unknown(s)
    reason = _reason(s)
    advice = BETWEEN if reason is PoolReason.MEMORY_BRACKET_CLOSED else advise(s.crash)
    told = "; ".join(part for part in (_cause(s.crash), describe_figures(s.crash), *_limits(s)) if part)
    return Stall(reason, f"{told}. {advice}")


def _explain_unknown(s: Situation) -> Stall:
    crash, restarted = s.crash, "it is restarted as it is"
    if crash.signature != NO_CLASS:
        return Stall(PoolReason.REMEDIATION_UNKNOWN, f"{_cause(crash)}; {restarted}. {advise(crash)}")
    limit = s.spec.startup.timeout_seconds
    was_stopped = crash.exit_code in _TERMINATED
    if was_stopped and crash.phase != _SERVED and (crash.seconds is None or crash.seconds >= limit):
        after = "" if crash.seconds is None else f" {crash.seconds:.0f} s after its pod was made"
        return Stall(
            PoolReason.START_TIMED_OUT,
            f"{crash.instance} was stopped{after} (exit code {crash.exit_code}) because it did not answer /health"
            f" within startup.timeoutSeconds, {limit} s; {restarted}. Raise startup.timeoutSeconds."
            " See what the start waits for: kubectl logs --previous.",
        )
    stopped = f"; it was stopped from outside{_when(crash)}" if was_stopped else ""
    return Stall(PoolReason.UNCLASSIFIED_CRASH, f"{_cause(crash)}{stopped}; {restarted}. {advise(crash)}")


def _when(crash: Crash) -> str:
    if crash.phase == _SERVED:
        return " while it served"
    return f" {crash.seconds:.0f} s after its pod was made" if crash.seconds is not None else ""


def _cause(crash: Crash) -> str:
    if crash.signature == NO_CLASS:
        return f"{crash.instance} ended with exit code {crash.exit_code} and no known cause in its log"
    return f"{crash.instance} ended with {crash.signature} (exit code {crash.exit_code})"


def _reason(s: Situation) -> PoolReason:
    if s.crash.signature in _OWN_REASONS:
        return _OWN_REASONS[s.crash.signature]
    if _has_verdict(s) and is_closed(s.ladder):
        return PoolReason.MEMORY_BRACKET_CLOSED
    if _is_spent(s):
        return PoolReason.REMEDIATION_EXHAUSTED
    if list_refused(s):
        return PoolReason.REMEDIATION_NOT_ALLOWED
    is_torn_apart = _has_verdict(s) and is_torn(s.ladder)
    return PoolReason.MEMORY_BRACKET_CLOSED if is_torn_apart else PoolReason.REMEDIATION_EXHAUSTED


def _has_verdict(s: Situation) -> bool:
    return is_too_low(s.crash) or is_too_high(s.crash, s.ladder.steps)


def _is_spent(s: Situation) -> bool:
    return s.ladder.attempts >= s.spec.remediation.max_attempts


def _limits(s: Situation) -> list[str]:
    """Return what keeps the ladder from going on, as clauses."""
    found = [_describe_bracket(s), _describe_attempts(s), _describe_bounds(s)]
    refused = [] if find_step(s) else list_refused(s)
    return [*(f for f in found if f), *([f"remediation.allow lacks {', '.join(refused)}"] if refused else [])]


def _describe_bracket(s: Situation) -> str:
    low, high = s.ladder.too_low, s.ladder.too_high
    if not _has_verdict(s) or not is_torn(s.ladder):
        return ""
    where = "under settings tried before" if low is None else f"at gpuMemoryUtilization {low}"
    return f"{where} the KV cache did not fit, and at {high} memory ran out"


def _describe_attempts(s: Situation) -> str:
    limit = s.spec.remediation.max_attempts
    if not limit:
        return "remediation.maxAttempts is 0"
    return f"all {limit} attempts of remediation.maxAttempts are used" if _is_spent(s) else ""


def _describe_bounds(s: Situation) -> str:
    bounds = s.spec.remediation.gpu_memory_utilization
    if is_too_high(s.crash, s.ladder.steps) and s.percent <= bounds.min:
        return f"gpuMemoryUtilization is at its minimum of {s.percent}"
    if is_too_low(s.crash) and s.percent >= bounds.max:
        return f"gpuMemoryUtilization is at its maximum of {s.percent}"
    return ""
