"""What a pool's Events tell: changes of settings, restarts of hung engines, turns for better or worse. PURE."""

from __future__ import annotations

from toolorch_api.conditions import Condition, Truth, is_true
from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState, ModelPoolStatus
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_operator.modelpool.memory.climb import Climb
from toolorch_operator.modelpool.summary import find_turned
from toolorch_operator.modelpool.verdicts import Facts
from toolorch_operator.plan import Event

# What passes by itself is in the conditions; an Event for it would only be noise.
_ROUTINE = (
    PoolReason.STARTING,
    PoolReason.SOME_REPLICAS_READY,
    PoolReason.SCALED_TO_ZERO,
    PoolReason.REMEDIATING,
    PoolReason.WAITING_FOR_SLOT,
    PoolReason.PREFLIGHT_RUNNING,
    PoolReason.ENGINE_STALLED,
)

# What a user has to mend and no other condition tells; it may keep a pool from ever becoming ready.
_TROUBLE = (PoolReason.POD_CANNOT_START, PoolReason.API_KEY_NOT_FOUND)


def tell_remediations(pool: ModelPool, at: Climb) -> list[Event]:
    """Return one Event per change of settings, which names signature, field, from and to."""
    limit = pool.spec.remediation.max_attempts
    first = at.ladder.attempts - len(at.records) + 1
    return [
        Event(
            reason,
            f"{r.instance} ended with {r.signature}: {r.field} {r.from_} → {r.to} (attempt {n} of {limit})",
            "Warning",
        )
        for n, (r, reason) in enumerate(zip(at.records, at.reasons, strict=True), start=first)
    ]


def tell_restarts(pool: ModelPool, facts: Facts) -> list[Event]:
    """Return one Event per engine that hangs and is restarted now."""
    crashed = {i.name for i in pool.status.instances if i.state is InstanceState.CRASHED}
    hung = (h for h in facts.holdups if h.reason is PoolReason.ENGINE_STALLED and h.instance not in crashed)
    return [Event(PoolReason.ENGINE_STALLED, h.message, "Warning") for h in hung]


def tell_turns(before: ModelPoolStatus, after: ModelPoolStatus) -> list[Event]:
    """Return one Event for becoming ready and one per new trouble; what only goes on is no news."""
    was_ready = is_true(before.conditions, PoolCondition.READY)
    turned = find_turned(before.conditions, after.conditions, lambda c: _is_news(c, was_ready=was_ready))
    return list({c.reason: _to_event(c) for c in turned}.values())


def _is_news(condition: Condition, *, was_ready: bool) -> bool:
    truth = condition.status is Truth.TRUE
    match condition.type:
        case PoolCondition.READY:
            is_trouble = condition.reason in _TROUBLE or (was_ready and condition.reason not in _ROUTINE)
            return truth or is_trouble or condition.reason == PoolReason.IDLE
        case PoolCondition.STALLED:
            return truth
        case PoolCondition.PLACED | PoolCondition.PREFLIGHT_PASSED | PoolCondition.PRESET_MATCHED:
            return condition.status is Truth.FALSE
        case PoolCondition.RECONCILING:
            return condition.reason == PoolReason.ROLLOUT_DEFERRED
        case _:
            return False


def _to_event(condition: Condition) -> Event:
    is_good = condition.type == PoolCondition.READY and condition.status is Truth.TRUE
    is_calm = is_good or condition.reason in (PoolReason.IDLE, PoolReason.ROLLOUT_DEFERRED)
    return Event(condition.reason, condition.message, "Normal" if is_calm else "Warning")
