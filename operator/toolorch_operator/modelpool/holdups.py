"""What keeps a replica from being ready, as a reason and one sentence. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.external.external import ExternalPlan
from toolorch_operator.modelpool.fetch.legs import FetchPlan
from toolorch_operator.modelpool.instances import ROUTINE_WAITS, Replica, instance_key, serves, why_no_pod
from toolorch_operator.modelpool.memory.climb import Climb, is_current
from toolorch_operator.modelpool.memory.crashes import last_crash
from toolorch_operator.modelpool.observed import ObservedPool, Probe, StartView
from toolorch_operator.modelpool.pods import PodView
from toolorch_operator.modelpool.slots import describe_wait

# A summary's sentence has room for so many replicas.
NAMED_HOLDUPS = 3
# What a scheduler or a registry says can be long; the start of it tells the cause.
_FOREIGN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Holdup:
    """Why one replica is not ready."""

    instance: str
    reason: PoolReason
    message: str


@dataclass(frozen=True, slots=True)
class Scene:
    """What the reasons are read from, beside the replica itself."""

    pool: ModelPool
    observed: ObservedPool
    climb: Climb
    starts: Sequence[StartView]
    """All replicas that may hold a start slot, or wait for one."""
    moment: datetime
    fetch: FetchPlan
    outside: ExternalPlan


# What passes by itself stands last; any other reason is for the user, and the first replica's is told.
_PASSING = (
    PoolReason.FETCHING_MODEL,
    PoolReason.MODEL_SERVER_UNREACHABLE,
    PoolReason.ENGINE_STALLED,
    PoolReason.REMEDIATING,
    PoolReason.PREFLIGHT_RUNNING,
    PoolReason.STARTING,
    PoolReason.WAITING_FOR_SLOT,
    PoolReason.WAITING_FOR_QUEUE,
)


def find_holdups(scene: Scene, replicas: Sequence[Replica]) -> list[Holdup]:
    """Return one entry per wanted replica that is not ready, the gravest first."""
    waiting = [r for r in replicas if r.state not in (InstanceState.READY, InstanceState.DRAINING)]
    queued = [r for r in waiting if r.state is InstanceState.WAITING_FOR_SLOT and r.pod is None and not r.is_going]
    # Each queues behind the one before: who is far back adds nothing that a reader needs.
    brief = {r.name for r in queued[NAMED_HOLDUPS:]}
    found = [
        Holdup(r.name, PoolReason.WAITING_FOR_SLOT, f"{r.name} waits for a start slot")
        if r.name in brief
        else Holdup(r.name, *_why(scene, r))
        for r in waiting
    ]
    return sorted(found, key=lambda h: _PASSING.index(h.reason) if h.reason in _PASSING else -1)


def _why(scene: Scene, replica: Replica) -> tuple[PoolReason, str]:
    name, pod, pool = replica.name, replica.pod, scene.pool
    if scene.outside.holdup:
        return scene.outside.reason, scene.outside.holdup
    if replica.probe is not None and replica.state is not InstanceState.WAITING_FOR_SLOT:
        return _why_not_useful(pool, replica, replica.probe)
    if pool.spec.external is not None:
        return PoolReason.STARTING, f"{name} is asked for its models"
    if replica.rejection is not None:
        return replica.rejection.reason, f"{name} {replica.rejection.message}"
    if pod is None and not scene.fetch.has_files(replica.node):
        return scene.fetch.reason, scene.fetch.holdup
    if replica.state is InstanceState.WAITING_FOR_SLOT:
        return _why_waiting(scene, replica)
    if pod is None:
        return _why_no_pod(scene, replica)
    return _why_not_up(scene, replica, pod)


def _why_waiting(scene: Scene, replica: Replica) -> tuple[PoolReason, str]:
    if replica.is_going or replica.pod is not None:
        return PoolReason.WAITING_FOR_SLOT, f"{replica.name} waits for its earlier pod to go"
    key = instance_key(scene.pool, replica.name)
    return PoolReason.WAITING_FOR_SLOT, f"{replica.name} {describe_wait(key, scene.starts, scene.moment)}"


def _why_not_up(scene: Scene, replica: Replica, pod: PodView) -> tuple[PoolReason, str]:
    name = replica.name
    if pod.queue:
        return PoolReason.WAITING_FOR_QUEUE, f"{name} waits for Kueue to admit it in queue {pod.queue}"
    if pod.unschedulable:
        return _why_no_node(scene.pool, pod)
    if replica.state is InstanceState.CRASHED:
        return _why_crashed(scene.pool, pod, scene.climb)
    if pod.ready:
        return PoolReason.PREFLIGHT_RUNNING, f"{name} is up and has to show that it is useful"
    if pod.waiting_reason not in ROUTINE_WAITS:
        why = f"{pod.waiting_reason} {pod.waiting_message}".strip()
        return PoolReason.POD_CANNOT_START, f"{name} cannot start: {why[:_FOREIGN_CHARACTERS]}"
    return PoolReason.STARTING, f"{name} is starting"


def _why_not_useful(pool: ModelPool, replica: Replica, probe: Probe) -> tuple[PoolReason, str]:
    name = replica.name
    if replica.state is InstanceState.CRASHED:
        stalled = f"{name} made no progress for {round(probe.stalled_seconds)} s while requests ran"
        return PoolReason.ENGINE_STALLED, f"{stalled}; it is restarted"
    if probe.preflight is not None and not probe.preflight.passed:
        return probe.preflight.reason, f"{name}: {probe.preflight.message}"
    if not probe.healthy:
        return PoolReason.MODEL_SERVER_UNREACHABLE, f"{name} does not answer: {probe.error}"
    if probe.models and not serves(pool, probe):
        names = ", ".join(m.id for m in probe.models[:3])
        return PoolReason.SERVED_NAME_MISMATCH, f"{name} serves {names}, not {pool.spec.served_name}"
    return PoolReason.PREFLIGHT_RUNNING, f"{name} is up and has to show that it is useful"


def _why_no_pod(scene: Scene, replica: Replica) -> tuple[PoolReason, str]:
    name = replica.name
    if replica.state is InstanceState.CRASHED:
        return PoolReason.REMEDIATING, f"{name} starts anew once its GPU's memory is released"
    why = why_no_pod(scene.observed.deployments.get(name))
    if why:
        return PoolReason.UNSCHEDULABLE, f"{name} gets no pod: {why[:_FOREIGN_CHARACTERS]}"
    return PoolReason.STARTING, f"{name} has no pod yet"


def _why_no_node(pool: ModelPool, pod: PodView) -> tuple[PoolReason, str]:
    gpu = pool.spec.resources.gpu_resource
    lacks_gpu = bool(gpu) and f"Insufficient {gpu}" in pod.unschedulable
    reason = PoolReason.WAITING_FOR_GPU if lacks_gpu else PoolReason.UNSCHEDULABLE
    return reason, f"{pod.instance} finds no node: {pod.unschedulable[:_FOREIGN_CHARACTERS]}"


def _why_crashed(pool: ModelPool, pod: PodView, climb: Climb) -> tuple[PoolReason, str]:
    crash = last_crash(pod)
    if crash is None:
        return PoolReason.CRASHED, f"{pod.instance} ended"
    if is_current(pool.spec, climb, crash):
        return PoolReason.CRASHED, f"{pod.instance} ended with {crash.signature} (exit code {crash.exit_code})"
    return PoolReason.REMEDIATING, f"{pod.instance} ended with {crash.signature} and starts anew with other settings"
