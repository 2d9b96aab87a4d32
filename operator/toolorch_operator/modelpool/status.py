"""A pool's next status: conditions, columns, replicas, and what the servers say of themselves. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from toolorch_api.conditions import find_condition
from toolorch_api.modelpool_status import Instance, InstanceState, Lease, ModelPoolStatus
from toolorch_api.pool_reasons import PoolCondition
from toolorch_operator.modelpool.instances import Replica
from toolorch_operator.modelpool.memory.climb import keep_latest
from toolorch_operator.modelpool.objects import endpoints_name, pod_selector
from toolorch_operator.modelpool.served import find_served
from toolorch_operator.modelpool.summary import compute_conditions
from toolorch_operator.modelpool.verdicts import Facts

# Of the 64 KiB that a whole status may take; what a thousand replicas need above it is in the endpoints ConfigMap.
_INSTANCES_BYTES = 40_000
_NODES_IN_COLUMN = 10


def compute_status(facts: Facts, replicas: Sequence[Replica], leases: list[Lease], now: datetime) -> ModelPoolStatus:
    """Return the next status; `replicas` are the wanted ones and those that drain."""
    pool, climb = facts.pool, facts.climb
    conditions = compute_conditions(facts, now)
    ready = find_condition(conditions, PoolCondition.READY)
    wanted = len(facts.replicas)
    return ModelPoolStatus(
        observed_generation=pool.metadata.generation,
        conditions=conditions,
        replicas=wanted,
        ready_replicas=facts.ready_count,
        ready=f"{facts.ready_count}/{wanted}",
        reason=ready.reason if ready else "",
        selector=pod_selector(pool),
        effective=climb.effective,
        served=find_served(pool, facts.replicas, facts.commit) or pool.status.served,
        instances=list_instances(replicas),
        remediations=keep_latest(pool.status.remediations, climb.records),
        ladder=climb.ladder,
        fit=facts.fit,
        fetch=facts.fetch,
        idle_since=facts.use.idle_since,
        endpoints=endpoints_name(pool),
        gpus=wanted * pool.spec.gpus_per_replica if pool.spec.external is None else 0,
        nodes=name_nodes(facts.replicas),
        leases=leases,
    )


def list_instances(replicas: Sequence[Replica]) -> list[Instance]:
    """Return as many replicas as status has room for, those that are not ready before the others, in their order."""
    instances = [
        Instance(name=r.name, node=r.node, state=r.state, since=r.since, url=r.url, proven=r.proven) for r in replicas
    ]
    by_need = sorted(range(len(instances)), key=lambda i: instances[i].state is InstanceState.READY)
    chosen: list[int] = []
    room = _INSTANCES_BYTES
    for index in by_need:
        room -= len(instances[index].model_dump_json(by_alias=True).encode())
        if room < 0:
            break
        chosen.append(index)
    return [instances[i] for i in sorted(chosen)]


def name_nodes(replicas: Sequence[Replica]) -> str:
    """Return the nodes of the replicas for the column: sorted, and the number of those that it has no room for."""
    nodes = sorted({r.pod.node for r in replicas if r.pod is not None and r.pod.node})
    more = len(nodes) - _NODES_IN_COLUMN
    return ",".join(nodes[:_NODES_IN_COLUMN]) + (f",+{more}" if more > 0 else "")
