"""A pool's replicas: their names and addresses, which pod speaks for each, and what state that shows. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from toolorch_api.modelpool import SERVER_PORT, Engine, ModelPool
from toolorch_api.modelpool_status import Instance, InstanceState
from toolorch_operator.modelpool.observed import ObservedPool, Probe
from toolorch_operator.modelpool.pods import PodView
from toolorch_operator.placement.views import Rejection
from toolorch_operator.plan import Manifest
from toolorch_operator.raw import find_raw_condition

_ENDED = ("Succeeded", "Failed")
# What every container goes through; any other reason to wait is trouble.
ROUTINE_WAITS = ("", "ContainerCreating", "PodInitializing", "CrashLoopBackOff")


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica: the pod that speaks for it, if any, its server's answers, and what is to happen to it."""

    name: str
    url: str
    """OpenAI base URL."""
    state: InstanceState
    pod: PodView | None = None
    probe: Probe | None = None
    """Answers of the pod's server; None: not asked yet."""
    node: str = ""
    """Where it runs, or where it is to run."""
    since: datetime | None = None
    """When it came into its state."""
    proven: str = ""
    """Start of the server that passed its preflight."""
    rejection: Rejection | None = None
    """Why no node takes it."""
    is_going: bool = False
    """An earlier pod of it is still there."""
    is_outdated: bool = False
    """Its pod was made from another template than the one that the spec and the ladder now ask for."""
    runs: bool = False
    """Its Deployment is to have a pod."""
    keeps: bool = False
    """Its Deployment stays as it is for now."""

    @property
    def needs_slot(self) -> bool:
        """Whether its pod may go on with a slot only: it has yet to measure its memory, and does so now."""
        return not self.proven and self.state not in (InstanceState.NOT_USEFUL, InstanceState.PENDING)


def instance_names(pool: ModelPool, count: int | None = None) -> list[str]:
    """Return the names of `count` replicas, or of those that the spec asks for; an external pool has none."""
    if pool.spec.engine is Engine.EXTERNAL:
        return []
    return [f"{pool.metadata.name}-{i}" for i in range(pool.spec.replicas if count is None else count)]


def instance_key(pool: ModelPool, name: str) -> str:
    """Return what tells a replica from those of all other pools: namespace and name."""
    return f"{pool.metadata.namespace}/{name}"


def service_url(pool: ModelPool, instance: str) -> str:
    """Return a replica's OpenAI base URL inside the cluster."""
    return f"http://{instance}.{pool.metadata.namespace}.svc:{SERVER_PORT}/v1"


def current_pods(pods: Sequence[PodView]) -> dict[str, PodView]:
    """Return for each replica the newest pod that is neither going nor gone."""
    lasting = (p for p in pods if not p.deleting and p.phase not in _ENDED)
    return {p.instance: p for p in sorted(lasting, key=lambda p: (p.created, p.uid))}


def going_instances(pods: Sequence[PodView]) -> frozenset[str]:
    """Return the replicas that have a pod which was told to go and is still there."""
    return frozenset(p.instance for p in pods if p.deleting)


def known_instances(pool: ModelPool) -> Mapping[str, Instance]:
    """Return the replicas as status remembers them, by name."""
    return {i.name: i for i in pool.status.instances}


def surplus_replicas(pool: ModelPool, observed: ObservedPool, wanted: Sequence[str]) -> list[Replica]:
    """Return the replicas that are no longer wanted and whose pods are still there."""
    surplus = sorted({p.instance for p in observed.pods if p.instance} - set(wanted), key=_by_index)
    return [_draining(pool, name, observed.pods) for name in surplus]


def _draining(pool: ModelPool, name: str, pods: Sequence[PodView]) -> Replica:
    pod = next(p for p in pods if p.instance == name)
    return Replica(name, service_url(pool, name), InstanceState.DRAINING, pod, node=pod.node)


def _by_index(name: str) -> tuple[int, str]:
    tail = name.rpartition("-")[2]
    return (int(tail) if tail.isdecimal() else 0, name)


def has_crashed(pod: PodView) -> bool:
    """Tell whether a pod's server is down and was not told to be."""
    return pod.waiting_reason == "CrashLoopBackOff" or any(t.run == pod.restart_count for t in pod.terminations)


def is_held_up(pod: PodView) -> bool:
    """Tell whether a pod waits for something that may never come, such as a node or an image."""
    return bool(pod.unschedulable) or pod.waiting_reason not in ROUTINE_WAITS


def why_no_pod(deployment: Manifest | None) -> str:
    """Return why a Deployment may make no pod, as the API server told it; empty where it may."""
    failure = find_raw_condition((deployment or {}).get("status"), "ReplicaFailure")
    return str(failure.get("message", "")) if failure.get("status") == "True" else ""


def serves(pool: ModelPool, probe: Probe) -> bool:
    """Tell whether a server is up and lists the name that clients will ask for."""
    return probe.healthy and any(m.id == pool.spec.served_name for m in probe.models)
