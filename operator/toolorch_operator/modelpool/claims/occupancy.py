"""Who is where on the cluster's nodes: pools and pods in, placement's holdings, demands and quotas out. PURE."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolorch_api.conditions import find_condition
from toolorch_api.meta import LABEL_INSTANCE, LABEL_KIND, LABEL_NAME
from toolorch_api.modelpool import KIND, Engine, ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_operator.modelpool.claims.demand import build_demands
from toolorch_operator.modelpool.observed import StartView
from toolorch_operator.placement.parse import parse_requests
from toolorch_operator.placement.views import Demand, Holding, Quota


@dataclass(frozen=True, slots=True)
class Occupant:
    """A pod that has not ended, anybody's."""

    namespace: str
    name: str
    requests: Mapping[str, int]
    node: str = ""
    """Empty: it waits for the scheduler."""
    pool: str = ""
    """Namespace and name of its pool; empty: it belongs to none."""
    instance: str = ""
    """Namespace and name of the replica that it runs."""
    deleting: bool = False


def parse_occupant(pod: Mapping[str, Any]) -> Occupant:
    """Return the view of a pod."""
    meta = pod.get("metadata") or {}
    labels = meta.get("labels") or {}
    namespace = meta.get("namespace", "")
    is_ours = labels.get(LABEL_KIND) == KIND and bool(labels.get(LABEL_NAME)) and bool(labels.get(LABEL_INSTANCE))
    return Occupant(
        namespace,
        meta.get("name", ""),
        parse_requests(pod),
        node=(pod.get("spec") or {}).get("nodeName") or "",
        pool=f"{namespace}/{labels[LABEL_NAME]}" if is_ours else "",
        instance=f"{namespace}/{labels[LABEL_INSTANCE]}" if is_ours else "",
        deleting=bool(meta.get("deletionTimestamp")),
    )


def count_wanted(pool: ModelPool) -> int:
    """Return how many replicas a pool has use for, as its latest status has it."""
    ready = find_condition(pool.status.conditions, PoolCondition.READY)
    is_idle = ready is not None and ready.reason == PoolReason.IDLE
    if pool.spec.engine is Engine.EXTERNAL or pool.metadata.deletion_timestamp is not None or is_idle:
        return 0
    return pool.spec.replicas


def find_demands(pool: ModelPool, wanted: int, pods: Iterable[Occupant]) -> tuple[Demand, ...]:
    """Return the demands of a pool; `pods` are its own. Status says where replicas go, else their pods do.

    Raises ValueError where status holds no quantity.
    """
    lasting = [pod for pod in pods if pod.node and not pod.deleting]
    nodes = {pod.instance.partition("/")[2]: pod.node for pod in lasting}
    told = (i for i in pool.status.instances if i.node and i.state is not InstanceState.DRAINING)
    nodes |= {instance.name: instance.node for instance in told}
    there = {(pod.instance.partition("/")[2], pod.node) for pod in lasting}
    running = {name for name, node in nodes.items() if (name, node) in there}
    return tuple(build_demands(pool, wanted, nodes, running))


def find_holdings(pods: Iterable[Occupant], demands: Iterable[Demand]) -> list[Holding]:
    """Return what pods hold, but for those whose replica has its demand on the same node."""
    placed = {(demand.instance, demand.node) for demand in demands}
    strangers = (pod for pod in pods if pod.node and (pod.instance, pod.node) not in placed)
    return [
        Holding(pod.node, f"pool {pod.pool}" if pod.pool else f"pod {pod.namespace}/{pod.name}", pod.requests)
        for pod in strangers
    ]


def free_quotas(quotas: Iterable[Quota], pods: Iterable[Occupant], demands: Iterable[Demand]) -> list[Quota]:
    """Return the quotas without what the demands' own pods use of them."""
    wanted = {demand.instance for demand in demands}
    own: dict[str, Counter[str]] = defaultdict(Counter)
    for pod in pods:
        if pod.instance in wanted:
            own[pod.namespace].update(pod.requests)
    return [replace(quota, used=quota.used - own[quota.namespace][quota.resource]) for quota in quotas]


def find_starts(pool: ModelPool) -> list[StartView]:
    """Return how far the replicas of a pool are."""
    startup, namespace = pool.spec.startup, pool.metadata.namespace
    return [
        StartView(
            f"{namespace}/{i.name}",
            i.node,
            i.state,
            i.since,
            limit=startup.max_concurrent_per_node,
            settle_seconds=startup.settle_seconds,
        )
        for i in pool.status.instances
    ]


def is_same_claim(before: Sequence[Demand], after: Sequence[Demand], assigned: Mapping[str, str]) -> bool:
    """Tell whether what a pool asks for now is what it asked for before, and where it was told to go."""

    def wishes(demands: Collection[Demand]) -> list[Demand]:
        return [replace(demand, node="", runs=False) for demand in demands]

    obeys = all(b.node in (a.node, assigned.get(b.instance)) for a, b in zip(before, after, strict=False))
    return obeys and wishes(before) == wishes(after)
