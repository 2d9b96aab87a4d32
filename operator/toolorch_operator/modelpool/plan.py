"""The brain of a pool: climb the ladder, build the children, say what is so. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from toolorch_api.conditions import Condition, Truth, is_true
from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState, ModelPoolStatus
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.crashes import last_crash, parse_crashes
from toolorch_operator.modelpool.holdups import find_holdups
from toolorch_operator.modelpool.instances import Replica, build_replicas, instance_names
from toolorch_operator.modelpool.memory import Climb, Stall, climb, find_stall, is_current, start
from toolorch_operator.modelpool.objects import build_objects
from toolorch_operator.modelpool.observed import ObservedPool
from toolorch_operator.modelpool.status import compute_status
from toolorch_operator.modelpool.summary import Facts, find_turned
from toolorch_operator.plan import Event, Manifest, Plan, Ref

# A server that passes its health check answers at once; it may need a moment after the kubelet saw it.
_PROBE_AGAIN = timedelta(seconds=2)
# Nothing tells of an external server's return but asking, and it is somebody else's.
_PROBE_EXTERNAL_AGAIN = timedelta(seconds=15)

# What passes by itself is in the conditions; an Event for it would only be noise.
_ROUTINE = (
    PoolReason.STARTING,
    PoolReason.SOME_REPLICAS_READY,
    PoolReason.SCALED_TO_ZERO,
    PoolReason.REMEDIATING,
)


def plan(pool: ModelPool, observed: ObservedPool, now: datetime, defaults: Defaults) -> Plan:
    """Return what should change for a pool."""
    if pool.metadata.deletion_timestamp is not None:
        return Plan()
    now = now.replace(microsecond=0)
    begin = start(pool.spec, pool.status.ladder, pool.status.effective, pool.metadata.generation)
    at = climb(pool.spec, begin, parse_crashes(observed.pods), now)
    replicas = build_replicas(pool, observed)
    wanted = [r for r in replicas if r.state is not InstanceState.DRAINING]
    facts = Facts(pool, wanted, find_holdups(pool, observed, replicas, at), at, find_pool_stall(pool, wanted, at))
    status = compute_status(facts, replicas, now)
    return Plan(
        delete=find_surplus(pool, observed),
        apply=build_objects(pool, at.effective, replicas, defaults),
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        status_first=bool(at.records),
        events=(*tell_remediations(pool, at), *tell_turns(pool.status, status)),
        requeue_after=find_requeue(pool, wanted),
    )


def find_pool_stall(pool: ModelPool, replicas: Sequence[Replica], at: Climb) -> Stall | None:
    """Return the stall of the first replica whose newest crash nothing is left against."""
    pods = (r.pod for r in replicas if r.pod is not None and r.state is not InstanceState.READY)
    crashes = (last_crash(pod) for pod in pods)
    return next((find_stall(pool.spec, at, c) for c in crashes if c is not None and is_current(pool.spec, at, c)), None)


def find_surplus(pool: ModelPool, observed: ObservedPool) -> tuple[Ref, ...]:
    """Return the Deployments and Services of replicas that are no longer wanted, Deployments first."""
    wanted = {*instance_names(pool), pool.metadata.name}
    deployments = (Ref("Deployment", n, _uid(c)) for n, c in sorted(observed.deployments.items()) if n not in wanted)
    services = (Ref("Service", n, _uid(c)) for n, c in sorted(observed.services.items()) if n not in wanted)
    return (*deployments, *services)


def _uid(child: Manifest) -> str:
    return str((child.get("metadata") or {}).get("uid") or "")


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


def tell_turns(before: ModelPoolStatus, after: ModelPoolStatus) -> list[Event]:
    """Return one Event for becoming ready and one per new trouble; what only goes on is no news."""
    was_ready = is_true(before.conditions, PoolCondition.READY)
    turned = find_turned(before.conditions, after.conditions, lambda c: _is_news(c, was_ready=was_ready))
    return list({c.reason: _to_event(c) for c in turned}.values())


def _is_news(condition: Condition, *, was_ready: bool) -> bool:
    truth = condition.status is Truth.TRUE
    match condition.type:
        case PoolCondition.READY:
            return truth or (was_ready and condition.reason not in _ROUTINE)
        case PoolCondition.STALLED:
            return truth
        case PoolCondition.PLACED | PoolCondition.PREFLIGHT_PASSED:
            return condition.status is Truth.FALSE
        case _:
            return False


def _to_event(condition: Condition) -> Event:
    is_good = condition.type == PoolCondition.READY and condition.status is Truth.TRUE
    return Event(condition.reason, condition.message, "Normal" if is_good else "Warning")


def find_requeue(pool: ModelPool, replicas: Sequence[Replica]) -> timedelta | None:
    """Return when to look again: only where an answer is awaited that no watch tells of."""
    if pool.spec.external is not None:
        is_ready = all(r.state is InstanceState.READY for r in replicas)
        return None if is_ready else _PROBE_EXTERNAL_AGAIN
    asked = (r for r in replicas if r.pod is not None and r.pod.ready)
    is_waiting = any(r.probe is None or not r.probe.healthy for r in asked)
    return _PROBE_AGAIN if is_waiting else None
