"""What a pool's replicas ask of placement. PURE."""

from __future__ import annotations

from collections.abc import Container, Mapping

from toolorch_api.modelpool import ModelPool
from toolorch_api.quantity import parse_bytes, parse_milli
from toolorch_operator.modelpool.claims.fit import find_min_gpu_gib, find_weights
from toolorch_operator.modelpool.memory.rungs import utilization
from toolorch_operator.placement.views import CPU, MEMORY, PODS, Demand


def build_demands(
    pool: ModelPool,
    replicas_wanted: int,
    nodes: Mapping[str, str],
    running: Container[str] | None = None,
    weights_gib: float | None = None,
) -> list[Demand]:
    """Return one demand per replica; `nodes` says by the replica's name where it is, or was told to go.

    `running` names those whose pod is there already; None: all that have a node. `weights_gib` is the size of the
    model's weights; None: as an annotation says, if one does. Raises ValueError where status holds no quantity.
    """
    meta, spec = pool.metadata, pool.spec
    weights = find_weights(pool) if weights_gib is None else weights_gib
    names = [f"{meta.name}-{number}" for number in range(replicas_wanted)]
    requests = _requests(pool)
    return [
        Demand(
            instance=f"{meta.namespace}/{name}",
            pool=f"{meta.namespace}/{meta.name}",
            gpu_resource=spec.resources.gpu_resource,
            requests=requests,
            strategy=spec.placement.strategy,
            node_selector=spec.placement.node_selector,
            tolerations=tuple(spec.placement.tolerations),
            gpu_products=tuple(spec.placement.gpu_products),
            node=nodes.get(name, ""),
            runs=running is None or name in running,
            min_gpu_gib=find_min_gpu_gib(spec, weights, utilization(spec, pool.status.effective)),
        )
        for name in names
    ]


def _requests(pool: ModelPool) -> Mapping[str, int]:
    """Return what the pod of a replica requests, after remediation."""
    resources = pool.spec.resources
    gpus = {resources.gpu_resource: pool.spec.gpus_per_replica} if pool.spec.gpus_per_replica else {}
    memory = pool.status.effective.memory or resources.memory
    return {CPU: parse_milli(resources.cpu), MEMORY: parse_bytes(memory), PODS: 1, **gpus}
