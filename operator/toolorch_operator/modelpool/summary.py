"""A pool's conditions: each one judged by a small function, and Ready as the sum of them. PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from toolorch_api.conditions import Condition, find_condition, is_true, with_condition
from toolorch_api.modelpool import Engine, ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_operator.modelpool.holdups import Holdup
from toolorch_operator.modelpool.instances import Replica
from toolorch_operator.modelpool.memory import Climb, Stall
from toolorch_operator.modelpool.rungs import utilization

Verdict = tuple[bool | None, PoolReason, str]
"""Truth (None: unknown), reason and message of a condition."""

_MESSAGE_CHARACTERS = 1000
_NAMED_HOLDUPS = 3
_PLACEMENT = (PoolReason.UNSCHEDULABLE, PoolReason.WAITING_FOR_GPU)
_PREFLIGHT = (PoolReason.SERVED_NAME_MISMATCH, PoolReason.MODEL_SERVER_UNREACHABLE)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the conditions are judged by."""

    pool: ModelPool
    replicas: Sequence[Replica]
    """Wanted ones only."""
    holdups: Sequence[Holdup]
    climb: Climb
    stall: Stall | None

    @property
    def ready_count(self) -> int:
        """Number of replicas that serve."""
        return sum(r.state is InstanceState.READY for r in self.replicas)

    @property
    def is_settled(self) -> bool:
        """All that are wanted serve."""
        return self.ready_count == len(self.replicas)


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
    }
    generation = facts.pool.metadata.generation
    for type_, (truth, reason, message) in verdicts.items():
        text = message[:_MESSAGE_CHARACTERS]
        conditions = with_condition(conditions, type_, truth, reason, text, generation=generation, now=now)
    return conditions


def judge_ready(facts: Facts, fit: Verdict) -> Verdict:
    """Judge whether every wanted replica serves; else name what holds the pool up."""
    count = f"{facts.ready_count} of {len(facts.replicas)} replicas ready"
    if not facts.replicas:
        return False, PoolReason.SCALED_TO_ZERO, "spec.replicas is 0"
    if facts.is_settled:
        return True, PoolReason.ALL_REPLICAS_READY, count
    if facts.stall is not None:
        return False, facts.stall.reason, f"{count}: {facts.stall.message}"
    return False, _summary_reason(facts, fit), f"{count}: {_name_holdups(facts.holdups)}"


def _summary_reason(facts: Facts, fit: Verdict) -> PoolReason:
    gravest = facts.holdups[0].reason
    if gravest is not PoolReason.STARTING:
        return gravest
    if fit[1] is PoolReason.REMEDIATING:
        return PoolReason.REMEDIATING
    return PoolReason.SOME_REPLICAS_READY if facts.ready_count else PoolReason.STARTING


def _name_holdups(holdups: Sequence[Holdup]) -> str:
    named = "; ".join(h.message for h in holdups[:_NAMED_HOLDUPS])
    more = len(holdups) - _NAMED_HOLDUPS
    return f"{named}; and {more} more" if more > 0 else named


def judge_placed(facts: Facts) -> Verdict:
    """Judge whether every replica has a node."""
    if facts.pool.spec.engine is Engine.EXTERNAL:
        return True, PoolReason.PLACED_BY_SCHEDULER, "an external server needs no node"
    unplaced = [h for h in facts.holdups if h.reason in _PLACEMENT]
    if unplaced:
        return False, unplaced[0].reason, _name_holdups(unplaced)
    if all(r.pod is not None and r.pod.node for r in facts.replicas):
        return True, PoolReason.PLACED_BY_SCHEDULER, "every replica has a node"
    return None, PoolReason.STARTING, "pods are not scheduled yet"


def judge_memory_fit(facts: Facts) -> Verdict:
    """Judge whether the servers live with the memory they have; once proven, only a memory crash revokes it."""
    attempts = facts.climb.ladder.attempts
    runs_at = f"gpuMemoryUtilization is {utilization(facts.pool.spec, facts.climb.effective)}"
    changed = f"{runs_at} after {attempts} of {facts.pool.spec.remediation.max_attempts} remediations"
    if facts.pool.spec.engine is Engine.EXTERNAL:
        return True, PoolReason.NO_REMEDIATION_NEEDED, "an external server minds its own memory"
    if facts.stall is not None and facts.stall.reason is not PoolReason.UNCLASSIFIED_CRASH:
        return False, facts.stall.reason, facts.stall.message
    proven = facts.is_settled and bool(facts.replicas)
    if proven or (_is_proven_before(facts) and not facts.climb.records):
        return (
            (True, PoolReason.REMEDIATED, changed)
            if attempts
            else (True, PoolReason.NO_REMEDIATION_NEEDED, f"{runs_at}, as the spec says")
        )
    return (False, PoolReason.REMEDIATING, changed) if attempts else (None, PoolReason.STARTING, runs_at)


def _is_proven_before(facts: Facts) -> bool:
    same_spec = facts.pool.status.ladder.spec_hash == facts.climb.ladder.spec_hash
    return same_spec and is_true(facts.pool.status.conditions, PoolCondition.MEMORY_FIT)


def judge_preflight(facts: Facts) -> Verdict:
    """Judge whether the servers proved that they are useful: so far, that they list the served name."""
    failed = [h for h in facts.holdups if h.reason in _PREFLIGHT]
    if failed:
        return False, failed[0].reason, _name_holdups(failed)
    if facts.pool.spec.external is not None and not any(r.probe and r.probe.models for r in facts.replicas):
        return None, PoolReason.NOT_PROBED, "the server tells its models to those with a key only"
    if facts.replicas and facts.is_settled:
        return True, PoolReason.SERVES_MODEL, f"every server lists {facts.pool.spec.served_name}"
    return None, PoolReason.NOT_PROBED, "not every server was asked yet"


def judge_reconciling(facts: Facts, ready: Verdict) -> Verdict:
    """Judge whether something is still under way that needs no user."""
    if facts.is_settled or facts.stall is not None:
        return False, PoolReason.SETTLED, "nothing is under way"
    return True, ready[1], ready[2]


def judge_stalled(facts: Facts) -> Verdict:
    """Judge whether the pool needs the user."""
    if facts.stall is None:
        return False, PoolReason.NOT_STALLED, ""
    return True, facts.stall.reason, facts.stall.message


def find_turned(
    before: Iterable[Condition], after: Iterable[Condition], is_news: Callable[[Condition], bool]
) -> list[Condition]:
    """Return the conditions that are news and were not so before with the same reason."""
    old = list(before)
    return [c for c in after if is_news(c) and not _was_same(find_condition(old, c.type), c)]


def _was_same(before: Condition | None, now: Condition) -> bool:
    return before is not None and (before.status, before.reason) == (now.status, now.reason)
