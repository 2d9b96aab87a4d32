"""How a pool stands in one respect at a time: placement, memory, usefulness, preset. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolorch_api.conditions import is_true
from toolorch_api.modelpool import Engine, ModelPool
from toolorch_api.modelpool_status import Fetch, Fit, InstanceState
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_operator.modelpool.holdups import NAMED_HOLDUPS, Holdup
from toolorch_operator.modelpool.instances import Replica
from toolorch_operator.modelpool.leases import Use
from toolorch_operator.modelpool.memory.climb import Climb, Stall
from toolorch_operator.modelpool.memory.rungs import utilization

Verdict = tuple[bool | None, PoolReason, str]
"""Truth (None: unknown), reason and message of a condition."""

_PLACEMENT = (
    PoolReason.INSUFFICIENT_GPU,
    PoolReason.INSUFFICIENT_RESOURCES,
    PoolReason.NO_MATCHING_NODE,
    PoolReason.QUOTA_EXCEEDED,
    PoolReason.MODEL_DOES_NOT_FIT,
    PoolReason.UNSCHEDULABLE,
    PoolReason.WAITING_FOR_GPU,
)


_NOT_OF_MEMORY = (PoolReason.UNCLASSIFIED_CRASH, PoolReason.START_TIMED_OUT)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the conditions are judged by."""

    pool: ModelPool
    replicas: Sequence[Replica]
    """Wanted ones only."""
    holdups: Sequence[Holdup]
    climb: Climb
    stall: Stall | None
    use: Use
    preset: Verdict
    fit: Fit
    fetch: Fetch
    commit: str = ""
    """Commit of the model's repository that was fetched; empty: unknown."""
    deferral: str = ""
    """Why serving replicas keep their earlier settings; empty: they do not."""
    places: bool = True
    """Nodes are chosen here, and not by the scheduler."""

    @property
    def ready_count(self) -> int:
        """Number of replicas that serve."""
        return sum(r.state is InstanceState.READY for r in self.replicas)

    @property
    def outdated_count(self) -> int:
        """Number of replicas that serve with earlier settings."""
        return sum(r.state is InstanceState.READY and r.is_outdated for r in self.replicas)

    @property
    def is_settled(self) -> bool:
        """All that are wanted serve."""
        return self.ready_count == len(self.replicas)


def name_holdups(holdups: Sequence[Holdup]) -> str:
    """Return what holds the first replicas up, and how many more there are."""
    named = "; ".join(dict.fromkeys(h.message for h in holdups[:NAMED_HOLDUPS]))
    more = len(holdups) - NAMED_HOLDUPS
    return f"{named}; and {more} more" if more > 0 else named


def judge_placed(facts: Facts) -> Verdict:
    """Judge whether every replica has a node."""
    placed = PoolReason.PLACED if facts.places else PoolReason.PLACED_BY_SCHEDULER
    if facts.pool.spec.engine is Engine.EXTERNAL:
        return True, PoolReason.PLACED, "an external server needs no node"
    unplaced = [h for h in facts.holdups if h.reason in _PLACEMENT]
    if unplaced:
        return False, unplaced[0].reason, name_holdups(unplaced)
    if all(r.node for r in facts.replicas):
        return True, placed, "every replica has a node"
    return None, PoolReason.STARTING, "pods are not scheduled yet"


def judge_memory_fit(facts: Facts) -> Verdict:
    """Judge whether the servers live with the memory they have; once proven, only a memory crash revokes it."""
    attempts = facts.climb.ladder.attempts
    runs_at = f"gpuMemoryUtilization is {utilization(facts.pool.spec, facts.climb.effective)}"
    changed = f"{runs_at} after {attempts} of {facts.pool.spec.remediation.max_attempts} remediations"
    if facts.pool.spec.engine is Engine.EXTERNAL:
        return True, PoolReason.NO_REMEDIATION_NEEDED, "an external server minds its own memory"
    if facts.stall is not None and facts.stall.reason not in _NOT_OF_MEMORY:
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
    """Judge whether every server has proven that it is useful."""
    judged = {r.name for r in facts.replicas if r.state is InstanceState.NOT_USEFUL or r.pod is None}
    failed = [h for h in facts.holdups if h.instance in judged and _was_asked(facts, h)]
    if failed:
        return False, failed[0].reason, name_holdups(failed)
    if not facts.replicas or not facts.is_settled:
        return None, PoolReason.NOT_PROBED, "not every server was asked yet"
    if not any(r.probe is None or r.probe.models for r in facts.replicas):
        return None, PoolReason.NOT_PROBED, "the server tells its models to those with a key only"
    return _passed(facts)


def _was_asked(facts: Facts, holdup: Holdup) -> bool:
    replica = next(r for r in facts.replicas if r.name == holdup.instance)
    return replica.probe is not None and holdup.reason is not PoolReason.PREFLIGHT_RUNNING


def _passed(facts: Facts) -> Verdict:
    spec = facts.pool.spec
    told = next((r.probe.preflight for r in facts.replicas if r.probe and r.probe.preflight), None)
    if told is not None:
        return True, told.reason, f"every server passed: {told.message}"
    before = facts.pool.status.conditions
    kept = next((c for c in before if c.type == PoolCondition.PREFLIGHT_PASSED and c.status == "True"), None)
    if kept is not None:
        return True, PoolReason(kept.reason), kept.message
    return True, PoolReason.SERVES_MODEL, f"every server lists {spec.served_name}"
