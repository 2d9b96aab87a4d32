"""What keeps a replica from being ready, as a reason and one sentence. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.crashes import last_crash
from toolorch_operator.modelpool.instances import Replica
from toolorch_operator.modelpool.memory import Climb, is_current
from toolorch_operator.modelpool.observed import ObservedPool, Probe
from toolorch_operator.modelpool.pods import PodView
from toolorch_operator.plan import Manifest

# What a scheduler or a registry says can be long; the start of it tells the cause.
_FOREIGN_CHARACTERS = 300
_ROUTINE_WAITS = ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff")


@dataclass(frozen=True, slots=True)
class Holdup:
    """Why one replica is not ready."""

    instance: str
    reason: PoolReason
    message: str


# A summary names the first of these that any replica has: what the user must act on before what passes by itself.
_ORDER = (
    PoolReason.SERVED_NAME_MISMATCH,
    PoolReason.UNSCHEDULABLE,
    PoolReason.WAITING_FOR_GPU,
    PoolReason.POD_CANNOT_START,
    PoolReason.CRASHED,
    PoolReason.MODEL_SERVER_UNREACHABLE,
    PoolReason.REMEDIATING,
    PoolReason.STARTING,
)


def find_holdups(pool: ModelPool, observed: ObservedPool, replicas: Sequence[Replica], climb: Climb) -> list[Holdup]:
    """Return one entry per wanted replica that is not ready, the gravest first."""
    waiting = [r for r in replicas if r.state not in (InstanceState.READY, InstanceState.DRAINING)]
    found = [Holdup(r.name, *_why(pool, observed, r, climb)) for r in waiting]
    return sorted(found, key=lambda h: _ORDER.index(h.reason))


def _why(pool: ModelPool, observed: ObservedPool, replica: Replica, climb: Climb) -> tuple[PoolReason, str]:
    name, pod = replica.name, replica.pod
    if replica.probe is not None:
        return _why_not_serving(pool, name, replica.probe)
    if pool.spec.external is not None:
        return PoolReason.STARTING, f"{name} is asked for its models"
    if pod is None:
        return _why_no_pod(name, observed.deployments.get(name))
    if pod.unschedulable:
        return _why_no_node(pool, pod)
    if replica.state is InstanceState.CRASHED:
        return _why_crashed(pool, pod, climb)
    if pod.ready:
        return PoolReason.STARTING, f"{name} is up and is asked for its models"
    if pod.waiting_reason not in _ROUTINE_WAITS:
        why = f"{pod.waiting_reason} {pod.waiting_message}".strip()
        return PoolReason.POD_CANNOT_START, f"{name} cannot start: {why[:_FOREIGN_CHARACTERS]}"
    return PoolReason.STARTING, f"{name} is starting"


def _why_not_serving(pool: ModelPool, name: str, probe: Probe) -> tuple[PoolReason, str]:
    if not probe.healthy:
        return PoolReason.MODEL_SERVER_UNREACHABLE, f"{name} does not answer: {probe.error}"
    names = ", ".join(m.id for m in probe.models[:3]) or "no model"
    return PoolReason.SERVED_NAME_MISMATCH, f"{name} serves {names}, not {pool.spec.served_name}"


def _why_no_pod(name: str, deployment: Manifest | None) -> tuple[PoolReason, str]:
    conditions = ((deployment or {}).get("status") or {}).get("conditions") or ()
    failed = next((c for c in conditions if c.get("type") == "ReplicaFailure" and c.get("status") == "True"), None)
    if failed is None:
        return PoolReason.STARTING, f"{name} has no pod yet"
    return PoolReason.UNSCHEDULABLE, f"{name} gets no pod: {str(failed.get('message', ''))[:_FOREIGN_CHARACTERS]}"


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
