"""The brain of a pool: climb the ladder, lead replicas to serving, build the children, say what is so. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.external.external import external_replica, plan_external
from toolorch_operator.modelpool.fetch.legs import plan_fetch
from toolorch_operator.modelpool.holdups import Scene, find_holdups
from toolorch_operator.modelpool.instances import Replica, instance_names, surplus_replicas
from toolorch_operator.modelpool.leases import find_leases, judge_idle
from toolorch_operator.modelpool.memory.climb import Climb, Stall, climb, find_stall, is_current, start
from toolorch_operator.modelpool.memory.crashes import last_crash, parse_crashes
from toolorch_operator.modelpool.news import tell_remediations, tell_restarts, tell_turns
from toolorch_operator.modelpool.objects import build_objects, build_template
from toolorch_operator.modelpool.observed import ObservedPool
from toolorch_operator.modelpool.pods import ANNOTATION_TEMPLATE
from toolorch_operator.modelpool.presets.verdict import judge_preset
from toolorch_operator.modelpool.rollout import describe_deferral, is_forced
from toolorch_operator.modelpool.slots import next_grant
from toolorch_operator.modelpool.stages import Gates, advance, find_nodes, start_views
from toolorch_operator.modelpool.status import compute_status
from toolorch_operator.modelpool.verdicts import Facts
from toolorch_operator.plan import Manifest, Plan, Ref

# A slot that another pool gives up is told by that pool's own status, but a node's return is told by nobody.
_LOOK_AGAIN = timedelta(seconds=15)
_AWAITED = (
    PoolReason.INSUFFICIENT_GPU,
    PoolReason.INSUFFICIENT_RESOURCES,
    PoolReason.NO_MATCHING_NODE,
    PoolReason.QUOTA_EXCEEDED,
    # The node was chosen by a listing that was seconds old: the next one may choose another.
    PoolReason.UNSCHEDULABLE,
    PoolReason.WAITING_FOR_GPU,
    PoolReason.WAITING_FOR_SLOT,
)


def plan(pool: ModelPool, observed: ObservedPool, now: datetime, defaults: Defaults) -> Plan:
    """Return what should change for a pool."""
    if pool.metadata.deletion_timestamp is not None:
        return Plan()
    now = now.replace(microsecond=0)
    outside = plan_external(pool, observed, defaults, now)
    if outside.probe is not None:
        observed = replace(observed, probes={**observed.probes, pool.metadata.name: outside.probe})
    begin = start(pool.spec, pool.status.ladder, pool.status.effective, pool.metadata.generation)
    at = climb(pool.spec, begin, parse_crashes(observed.pods), now)
    leases = find_leases(pool.status.leases, observed.runs)
    use = judge_idle(pool, leases, now)
    template = build_template(pool, at.effective, defaults, nodes_known=observed.cluster.placement is not None)
    names = instance_names(pool, use.wanted_replicas)
    fetch = plan_fetch(pool, observed, defaults, find_nodes(pool, observed, names))
    gates = Gates(
        now,
        defaults.stall_seconds,
        fetch,
        template=template["metadata"]["annotations"][ANNOTATION_TEMPLATE],
        is_deferred=bool(leases) and not is_forced(pool),
    )
    wanted = find_replicas(pool, observed, names, gates)
    replicas = [*wanted, *surplus_replicas(pool, observed, names)]
    scene = Scene(pool, observed, at, start_views(pool, observed, wanted, now), now, fetch, outside)
    facts = Facts(
        pool,
        wanted,
        find_holdups(scene, wanted),
        at,
        find_pool_stall(pool, wanted, at),
        use,
        judge_preset(pool.spec, observed.chat_template, pool.metadata.annotations),
        observed.fit,
        fetch.status,
        commit=fetch.commit,
        deferral=describe_deferral([lease.run for lease in leases]) if gates.is_deferred else "",
        places=observed.cluster.placement is not None,
    )
    status = compute_status(facts, replicas, leases, now)
    return Plan(
        delete=(*find_surplus(pool, observed, names), *fetch.delete, *outside.delete),
        create=(*fetch.create, *outside.create),
        apply=build_objects(pool, template, replicas, observed.deployments, defaults),
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        status_first=bool(at.records) or has_news_of_starts(pool, wanted),
        events=(*tell_remediations(pool, at), *tell_restarts(pool, facts), *tell_turns(pool.status, status)),
        requeue_after=find_requeue(facts, scene),
    )


def find_replicas(pool: ModelPool, observed: ObservedPool, names: Sequence[str], gates: Gates) -> list[Replica]:
    """Return the wanted replicas as they are to be next; an external server counts as one."""
    if pool.spec.external is not None:
        return [external_replica(pool, pool.spec.external.base_url, observed)]
    return advance(pool, observed, names, gates)


def find_pool_stall(pool: ModelPool, replicas: Sequence[Replica], at: Climb) -> Stall | None:
    """Return the stall of the first replica whose newest crash nothing is left against."""
    is_up = (InstanceState.READY, InstanceState.NOT_USEFUL)
    pods = (r.pod for r in replicas if r.pod is not None and r.state not in is_up)
    crashes = (last_crash(pod) for pod in pods)
    return next((find_stall(pool.spec, at, c) for c in crashes if c is not None and is_current(pool.spec, at, c)), None)


def has_news_of_starts(pool: ModelPool, replicas: Sequence[Replica]) -> bool:
    """Tell whether a replica starts that did not: the slot that it takes is written down before it is used."""
    before = {i.name for i in pool.status.instances if i.state is InstanceState.STARTING}
    return any(r.state is InstanceState.STARTING and r.name not in before for r in replicas)


def find_surplus(pool: ModelPool, observed: ObservedPool, names: Sequence[str]) -> tuple[Ref, ...]:
    """Return the Deployments and Services of replicas that are no longer wanted, Deployments first."""
    wanted = {*names, pool.metadata.name}
    deployments = (Ref("Deployment", n, _uid(c)) for n, c in sorted(observed.deployments.items()) if n not in wanted)
    services = (Ref("Service", n, _uid(c)) for n, c in sorted(observed.services.items()) if n not in wanted)
    return (*deployments, *services)


def _uid(child: Manifest) -> str:
    return str((child.get("metadata") or {}).get("uid") or "")


def find_requeue(facts: Facts, scene: Scene) -> timedelta | None:
    """Return when to look again: what no watch and no answer of a server tells."""
    told = (scene.fetch.requeue_after, scene.outside.requeue_after)
    waits = [facts.use.look_again, *told, next_grant(scene.starts, scene.moment)]
    if facts.outdated_count or any(h.reason in _AWAITED for h in facts.holdups):
        waits.append(_LOOK_AGAIN)
    return min((wait for wait in waits if wait is not None), default=None)
