"""A pool's replicas: their names and addresses, which pod speaks for each, and what state it is in. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolorch_api.modelpool import SERVER_PORT, Engine, ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.serving import External
from toolorch_operator.modelpool.observed import ObservedPool, Probe, ProbeTarget
from toolorch_operator.modelpool.pods import PodView

_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica: the pod that speaks for it, if any, and its server's answers."""

    name: str
    url: str
    """OpenAI base URL."""
    state: InstanceState
    pod: PodView | None = None
    probe: Probe | None = None
    """Answers of the pod's server; None: not asked yet."""


def instance_names(pool: ModelPool) -> list[str]:
    """Return the names of the replicas that the spec asks for; an external pool has none."""
    if pool.spec.engine is Engine.EXTERNAL:
        return []
    return [f"{pool.metadata.name}-{i}" for i in range(pool.spec.replicas)]


def service_url(pool: ModelPool, instance: str) -> str:
    """Return a replica's OpenAI base URL inside the cluster."""
    return f"http://{instance}.{pool.metadata.namespace}.svc:{SERVER_PORT}/v1"


def probe_targets(pool: ModelPool, pods: Sequence[PodView]) -> list[ProbeTarget]:
    """Return the servers to ask before the next plan: ready pods, by their own address, and the external server."""
    if pool.spec.external is not None:
        url = pool.spec.external.base_url.rstrip("/")
        return [ProbeTarget(pool.metadata.name, url, identity=url, external=True)]
    current = current_pods(pods)
    found = ((name, current.get(name)) for name in instance_names(pool))
    return [_pod_target(name, pod) for name, pod in found if pod is not None and pod.ready and pod.ip]


def _pod_target(name: str, pod: PodView) -> ProbeTarget:
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    return ProbeTarget(name, f"http://{host}:{SERVER_PORT}/v1", identity=f"{pod.uid}/{pod.restart_count}")


def current_pods(pods: Sequence[PodView]) -> dict[str, PodView]:
    """Return for each replica the newest pod that is neither going nor gone."""
    lasting = (p for p in pods if not p.deleting and p.phase not in _ENDED)
    return {p.instance: p for p in sorted(lasting, key=lambda p: (p.created, p.uid))}


def build_replicas(pool: ModelPool, observed: ObservedPool) -> list[Replica]:
    """Return the wanted replicas, after them surplus ones whose pods still run; an external server counts as one."""
    if pool.spec.external is not None:
        return [_external_replica(pool, pool.spec.external, observed)]
    wanted = instance_names(pool)
    surplus = sorted({p.instance for p in observed.pods if p.instance} - set(wanted), key=_by_index)
    current = current_pods(observed.pods)
    lasting = (_replica(pool, name, current.get(name), observed) for name in wanted)
    return [*lasting, *(_draining(pool, name, observed.pods) for name in surplus)]


def _external_replica(pool: ModelPool, external: External, observed: ObservedPool) -> Replica:
    probe = observed.probes.get(pool.metadata.name)
    # A server that wants its key first lists nothing, and is trusted to have the model.
    is_ready = probe is not None and probe.healthy and (not probe.models or serves(pool, probe))
    state = InstanceState.READY if is_ready else InstanceState.PENDING
    return Replica(pool.metadata.name, external.base_url.rstrip("/"), state, None, probe)


def _draining(pool: ModelPool, name: str, pods: Sequence[PodView]) -> Replica:
    pod = next(p for p in pods if p.instance == name)
    return Replica(name, service_url(pool, name), InstanceState.DRAINING, pod)


def _by_index(name: str) -> tuple[int, str]:
    tail = name.rpartition("-")[2]
    return (int(tail) if tail.isdecimal() else 0, name)


def _replica(pool: ModelPool, name: str, pod: PodView | None, observed: ObservedPool) -> Replica:
    probe = observed.probes.get(name) if pod is not None and pod.ready else None
    return Replica(name, service_url(pool, name), _state(pool, pod, probe), pod, probe)


def _state(pool: ModelPool, pod: PodView | None, probe: Probe | None) -> InstanceState:
    if pod is None or not pod.node:
        return InstanceState.PENDING
    if pod.ready:
        return InstanceState.READY if probe is not None and serves(pool, probe) else InstanceState.STARTING
    if pod.waiting_reason == "CrashLoopBackOff" or any(t.run == pod.restart_count for t in pod.terminations):
        return InstanceState.CRASHED
    return InstanceState.STARTING


def serves(pool: ModelPool, probe: Probe) -> bool:
    """Tell whether a server is up and lists the name that clients will ask for."""
    return probe.healthy and any(m.id == pool.spec.served_name for m in probe.models)
