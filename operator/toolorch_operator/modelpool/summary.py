"""A pool's conditions, with Ready as the sum of them. PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from toolorch_api.conditions import Condition, find_condition, with_condition
from toolorch_api.modelpool_status import FetchState
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_operator.modelpool.verdicts import (
    Facts,
    Verdict,
    judge_memory_fit,
    judge_placed,
    judge_preflight,
    name_holdups,
)

_MESSAGE_CHARACTERS = 1000
_UNDER_WAY = (PoolReason.STARTING, PoolReason.PREFLIGHT_RUNNING)


def compute_conditions(facts: Facts, now: datetime) -> list[Condition]:
    """Return every condition, each with the observed generation."""
    conditions: list[Condition] = list(facts.pool.status.conditions)
    fit = judge_memory_fit(facts)
    ready = judge_ready(facts, fit)
    verdicts = {
        PoolCondition.READY: ready,
        PoolCondition.PLACED: judge_placed(facts),
        PoolCondition.MEMORY_FIT: fit,
        PoolCondition.PREFLIGHT_PASSED: judge_preflight(facts),
        PoolCondition.RECONCILING: judge_reconciling(facts, ready),
        PoolCondition.STALLED: judge_stalled(facts),
        PoolCondition.PRESET_MATCHED: facts.preset,
    }
    generation = facts.pool.metadata.generation
    for type_, (truth, reason, message) in verdicts.items():
        text = message[:_MESSAGE_CHARACTERS]
        conditions = with_condition(conditions, type_, truth, reason, text, generation=generation, now=now)
    return conditions


def judge_ready(facts: Facts, fit: Verdict) -> Verdict:
    """Judge whether every wanted replica serves; else name what holds the pool up."""
    count = f"{facts.ready_count} of {len(facts.replicas)} replicas ready"
    if facts.use.is_idle:
        return False, PoolReason.IDLE, facts.use.message
    if not facts.replicas:
        return False, PoolReason.SCALED_TO_ZERO, "spec.replicas is 0"
    if facts.is_settled:
        return True, PoolReason.ALL_REPLICAS_READY, count
    if facts.stall is not None:
        return False, facts.stall.reason, f"{count}: {facts.stall.message}"
    return False, _summary_reason(facts, fit), f"{count}: {name_holdups(facts.holdups)}"


def _summary_reason(facts: Facts, fit: Verdict) -> PoolReason:
    gravest = facts.holdups[0].reason
    if gravest not in _UNDER_WAY:
        return gravest
    if fit[1] is PoolReason.REMEDIATING:
        return PoolReason.REMEDIATING
    return PoolReason.SOME_REPLICAS_READY if facts.ready_count else gravest


def judge_reconciling(facts: Facts, ready: Verdict) -> Verdict:
    """Judge whether something is still under way that needs no user."""
    if facts.outdated_count and facts.deferral:
        return True, PoolReason.ROLLOUT_DEFERRED, facts.deferral
    if facts.outdated_count:
        late = f"{facts.outdated_count} of {len(facts.replicas)} replicas still serve with earlier settings"
        return True, PoolReason.ROLLING_OUT, late
    if facts.is_settled or judge_stalled(facts)[0]:
        return False, PoolReason.SETTLED, "nothing is under way"
    return True, ready[1], ready[2]


def judge_stalled(facts: Facts) -> Verdict:
    """Judge whether the pool needs the user."""
    if facts.stall is not None:
        return True, facts.stall.reason, facts.stall.message
    if facts.fetch.state is FetchState.FAILED and not facts.is_settled:
        return True, PoolReason.FETCH_FAILED, facts.fetch.message
    return False, PoolReason.NOT_STALLED, ""


def find_turned(
    before: Iterable[Condition], after: Iterable[Condition], is_news: Callable[[Condition], bool]
) -> list[Condition]:
    """Return the conditions that are news and were not so before with the same reason."""
    old = list(before)
    return [c for c in after if is_news(c) and not _was_same(find_condition(old, c.type), c)]


def _was_same(before: Condition | None, now: Condition) -> bool:
    return before is not None and (before.status, before.reason) == (now.status, now.reason)
