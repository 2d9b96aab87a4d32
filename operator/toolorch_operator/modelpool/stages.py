"""Each replica's way to serving: a node, the model's files, a start slot, a pod, a server that is useful. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Instance, InstanceState
from toolorch_operator.modelpool.fetch.legs import FetchPlan
from toolorch_operator.modelpool.instances import (
    Replica,
    current_pods,
    going_instances,
    has_crashed,
    instance_key,
    is_held_up,
    known_instances,
    serves,
    service_url,
    why_no_pod,
)
from toolorch_operator.modelpool.observed import ObservedPool, Probe, StartView
from toolorch_operator.modelpool.rollout import replaced_pods
from toolorch_operator.modelpool.slots import grant, is_settling, without_nodes
from toolorch_operator.modelpool.targets import proof

STARTING, CRASHED, READY = InstanceState.STARTING, InstanceState.CRASHED, InstanceState.READY
PENDING, WAITING = InstanceState.PENDING, InstanceState.WAITING_FOR_SLOT
NOT_USEFUL = InstanceState.NOT_USEFUL


@dataclass(frozen=True, slots=True)
class Gates:
    """What the stages depend on beside the replicas themselves."""

    moment: datetime
    stall_seconds: float
    """An engine that made no progress for so long is restarted."""
    fetch: FetchPlan
    """Tells which nodes have the model's files."""
    template: str = ""
    """Hash of the pod template that is wanted now."""
    is_deferred: bool = False
    """Serving replicas keep their template: a run uses them."""


def advance(pool: ModelPool, observed: ObservedPool, names: Sequence[str], gates: Gates) -> list[Replica]:
    """Return the wanted replicas as they are to be next; each start has its slot."""
    pods, before = current_pods(observed.pods), known_instances(pool)
    replaced = replaced_pods(pods, observed, gates.template)
    pods = {name: pod for name, pod in pods.items() if name not in replaced}
    going = going_instances(observed.pods) | replaced
    aims = []
    for name in names:
        seen = Replica(
            name,
            service_url(pool, name),
            PENDING,
            pods.get(name),
            observed.probes.get(name) if name in pods and pods[name].ready else None,
            is_going=name in going,
            is_outdated=name in pods and pods[name].template != gates.template,
        )
        aims.append(_aim(pool, observed, _seat(pool, observed, seen), before.get(name), gates))
    granted = grant(start_views(pool, observed, aims, gates.moment), gates.moment)
    settled = (_settle(aim, instance_key(pool, aim.name) in granted) for aim in aims)
    return [_date(replica, before.get(replica.name), gates.moment) for replica in settled]


def find_nodes(pool: ModelPool, observed: ObservedPool, names: Sequence[str]) -> list[str] | None:
    """Return the nodes that replicas have or are to have; None where only the scheduler knows."""
    placement = observed.cluster.placement
    if placement is None:
        return None
    pods = current_pods(observed.pods)
    chosen = {pods[n].node if n in pods else placement.assigned.get(instance_key(pool, n), "") for n in names}
    return sorted(chosen - {""})


def start_views(pool: ModelPool, observed: ObservedPool, replicas: Sequence[Replica], now: datetime) -> list[StartView]:
    """Return the starts that a replica may have to wait for: the other pools' and its own pool's.

    Where nobody may list the nodes, the whole cluster counts as one.
    """
    own = [_view(pool, r, now) for r in replicas]
    return [*_others(observed, now), *(own if observed.cluster.placement is not None else without_nodes(own))]


def _seat(pool: ModelPool, observed: ObservedPool, replica: Replica) -> Replica:
    """Find the replica's node: its pod's, else the one that placement chose."""
    if replica.pod is not None and replica.pod.node:
        return replace(replica, node=replica.pod.node)
    placement = observed.cluster.placement
    if placement is None:
        return replica
    key = instance_key(pool, replica.name)
    return replace(replica, node=placement.assigned.get(key, ""), rejection=placement.rejected.get(key))


def _aim(pool: ModelPool, observed: ObservedPool, replica: Replica, before: Instance | None, gates: Gates) -> Replica:
    """Return the replica in the state that it shows, before slots are given out."""
    pod = replica.pod
    if pod is None:
        has_place = replica.rejection is None
        if before is not None and has_place and why_no_pod(observed.deployments.get(replica.name)):
            # It holds no slot, for nothing starts; its Deployment goes on trying.
            return replace(replica, state=PENDING, since=before.since, runs=True)
        return _aim_without_pod(replica, before, gates, timedelta(seconds=pool.spec.startup.settle_seconds))
    known = proof(pool, pod)
    has_passed = before is not None and before.proven == known
    state = _state(pool, replica, gates, has_passed=has_passed)
    # That it does not answer for a moment takes nothing back: it would have to start anew.
    proven = known if state is READY or (has_passed and state is not CRASHED) else ""
    since = before.since if before is not None and before.state is state else gates.moment
    keeps = state is READY and replica.is_outdated and gates.is_deferred
    return replace(replica, state=state, proven=proven, since=since, keeps=keeps)


def _aim_without_pod(replica: Replica, before: Instance | None, gates: Gates, settle: timedelta) -> Replica:
    """Return where a replica without a pod stands: a start that was granted, or a crash, is remembered by status."""
    was = before.state if before is not None else PENDING
    since = before.since if before is not None and before.since is not None else gates.moment
    if replica.rejection is not None or not gates.fetch.has_files(replica.node):
        return replica
    if was is STARTING:
        # Its Deployment makes the new pod once the earlier one is gone; to take that back would end one that begins.
        return replace(replica, state=STARTING, since=since)
    if was is CRASHED and (replica.is_going or since + settle > gates.moment):
        return replace(replica, state=CRASHED, since=since)
    if was is READY:
        # Somebody else told its pod to go, and its Deployment makes another at once: there is nothing to wait for.
        return replace(replica, state=WAITING, since=gates.moment, is_going=False)
    # Who crashed keeps its place in the queue, before those that came later.
    return replace(replica, state=WAITING, since=since if was in (WAITING, CRASHED) else gates.moment)


def _state(pool: ModelPool, replica: Replica, gates: Gates, *, has_passed: bool) -> InstanceState:
    """Return what a pod and its server show; `has_passed`: status remembers that this very start was useful."""
    pod, probe = replica.pod, replica.probe
    assert pod is not None
    if not pod.ready:
        return CRASHED if has_crashed(pod) else PENDING if is_held_up(pod) else STARTING
    if probe is not None and probe.stalled_seconds >= gates.stall_seconds:
        return CRASHED
    if _is_useful(pool, probe, has_passed=has_passed):
        return READY
    is_judged = probe is not None and (not probe.healthy or not serves(pool, probe) or probe.preflight is not None)
    return NOT_USEFUL if is_judged else STARTING


def _is_useful(pool: ModelPool, probe: Probe | None, *, has_passed: bool) -> bool:
    """Tell whether this start of the server has shown what it must; a new operator need not ask again."""
    if has_passed:
        return probe is None or serves(pool, probe)
    return probe is not None and serves(pool, probe) and probe.preflight is not None and probe.preflight.passed


def _others(observed: ObservedPool, now: datetime) -> list[StartView]:
    """Return the other pools' replicas; a crashed one that has settled waits for its kubelet, and for no slot."""
    starts = observed.cluster.starts
    lasting = [view for view in starts if view.state is not CRASHED or is_settling(view, now)]
    return without_nodes(lasting) if observed.cluster.placement is None else lasting


def _view(pool: ModelPool, replica: Replica, now: datetime) -> StartView:
    """Return a replica as it counts for slots."""
    startup = pool.spec.startup
    key, limit, settle = instance_key(pool, replica.name), startup.max_concurrent_per_node, startup.settle_seconds
    view = StartView(key, replica.node, replica.state, replica.since, limit, settle)
    if replica.state is READY and replica.is_outdated and not replica.keeps:
        # It serves on with its old template until there is a slot for it, after those that wait already.
        return replace(view, state=WAITING, since=now)
    holds_nothing = replica.is_going if replica.state is WAITING else replica.state is CRASHED
    return replace(view, state=PENDING) if holds_nothing and not is_settling(view, now) else view


def _settle(replica: Replica, is_granted: bool) -> Replica:
    """Give a replica the state that follows from having, or not having, a slot."""
    if replica.state is READY:
        if not replica.is_outdated or replica.keeps or not is_granted:
            return replace(replica, runs=True, keeps=replica.is_outdated)
        return replace(replica, state=STARTING, runs=True, proven="")
    if replica.pod is not None and replica.state is CRASHED:
        # The kubelet starts it anew where it is, unless the ladder has other settings for it, or its engine hangs.
        return replace(replica, runs=not replica.is_outdated and not replica.pod.ready)
    if replica.pod is not None:
        may_go_on = not replica.is_outdated and (is_granted or not replica.needs_slot)
        return replace(replica, runs=True) if may_go_on else replace(replica, state=WAITING)
    if replica.state is PENDING or (replica.is_going and replica.state is not STARTING):
        return replica
    return replace(replica, state=STARTING, runs=True) if is_granted else replica


def _date(replica: Replica, before: Instance | None, now: datetime) -> Replica:
    """Say since when a replica is in its state."""
    if before is not None and before.state is replica.state and before.since is not None:
        return replace(replica, since=before.since)
    return replace(replica, since=now)
