#!/usr/bin/env python3
"""Measures how long placing a large cluster's pools takes, beside plain first-fit over the same; needs no cluster.

usage: bench_placement.py [ROUNDS]   default 5
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any, Literal

from toolorch_api.modelpool import ModelPool
from toolorch_operator.modelpool.claims.demand import build_demands
from toolorch_operator.modelpool.claims.occupancy import find_holdings, parse_occupant
from toolorch_operator.modelpool.claims.snapshot import Snapshot, parse_claimant, pool_key
from toolorch_operator.placement.match import why_unmatched
from toolorch_operator.placement.parse import parse_node
from toolorch_operator.placement.place import place
from toolorch_operator.placement.views import Demand, Holding

NODES, POOLS, REPLICAS, PODS_PER_NODE = 1000, 200, 8, 10
ZONES = 5
GPU = "nvidia.com/gpu"
SIZES = (1, 2, 4, 8)


def build_listing(gpus: int, strategy: Literal["Pack", "Spread"]) -> str:
    """Return the JSON of all nodes, pods and pools: every third pool is bound to one of five zones."""
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: str(gpus)}
    nodes = [
        {
            "metadata": {"name": f"node-{n}", "labels": {"zone": f"z{n % ZONES}"}},
            "status": {"allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]},
        }
        for n in range(NODES)
    ]
    container = {"name": "c", "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}}
    pods = [
        {
            "metadata": {"name": f"pod-{n}", "namespace": "others"},
            "spec": {"nodeName": f"node-{n % NODES}", "containers": [container]},
        }
        for n in range(NODES * PODS_PER_NODE)
    ]
    pools = [
        {
            "metadata": {"name": f"p{n}", "namespace": "evals"},
            "spec": {
                "model": "m",
                "replicas": REPLICAS,
                "tensorParallelSize": SIZES[n % len(SIZES)],
                "placement": {"strategy": strategy, "nodeSelector": {"zone": f"z{n % ZONES}"} if n % 3 == 0 else {}},
            },
        }
        for n in range(POOLS)
    ]
    return json.dumps({"nodes": nodes, "pods": pods, "pools": pools})


def parse(text: str) -> Snapshot:
    """Parse a listing as the operator does."""
    now = datetime.now(UTC)
    listed: dict[str, list[dict[str, Any]]] = json.loads(text)
    return Snapshot(
        now,
        {pool_key(pool): pool for pool in map(parse_claimant, listed["pools"]) if pool is not None},
        nodes=tuple(parse_node(node, now) for node in listed["nodes"]),
        pods=tuple(map(parse_occupant, listed["pods"])),
    )


def first_fit(snapshot: Snapshot, holdings: Sequence[Holding], demands: Sequence[Demand]) -> int:
    """Place the big ones first, each on the first node that takes it; return how many found one."""
    nodes = snapshot.nodes or ()
    left = {node.name: dict(node.allocatable) for node in nodes}
    for holding in holdings:
        for resource, amount in holding.requests.items():
            left[holding.node][resource] = left[holding.node].get(resource, 0) - amount
    count = 0
    for demand in sorted(demands, key=lambda d: -d.gpus):
        for node in nodes:
            free = left[node.name]
            if all(free.get(r, 0) >= n for r, n in demand.requests.items()) and not why_unmatched(node, demand):
                for resource, amount in demand.requests.items():
                    free[resource] -= amount
                count += 1
                break
    return count


def all_demands(pools: Sequence[ModelPool]) -> list[Demand]:
    """Return the demands of all pools, none of which has a node."""
    return [demand for pool in pools for demand in build_demands(pool, pool.spec.replicas, {})]


def timed(act: Callable[[], int]) -> tuple[float, int]:
    """Return how many seconds of CPU something took, so that a busy machine counts less, and what it returned."""
    begin = time.process_time()
    result = act()
    return time.process_time() - begin, result


def row(name: str, gpus: int, strategy: Literal["Pack", "Spread"], rounds: int) -> str:
    """Measure one kind of cluster, the two ways in turn, and format it."""
    text = build_listing(gpus, strategy)
    parsing: list[float] = []
    ours: list[tuple[float, int]] = []
    plain: list[tuple[float, int]] = []
    for _ in range(rounds):
        begin = time.process_time()
        snapshot = parse(text)
        parsing.append(time.process_time() - begin)
        holdings, demands = find_holdings(snapshot.pods, ()), all_demands(list(snapshot.pools.values()))
        ours.append(timed(lambda: len(place(snapshot.nodes or (), holdings, demands).assigned)))  # noqa: B023
        plain.append(timed(lambda: first_fit(snapshot, holdings, demands)))  # noqa: B023
    own, other = median(seconds for seconds, _ in ours), median(seconds for seconds, _ in plain)
    cells = [
        name, f"{own:.2f} s, {ours[0][1]} placed", f"{other:.2f} s, {plain[0][1]} placed", f"{own / other:.2f}",
        f"{median(parsing):.2f} s",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(rounds: int) -> None:
    """Print the rows of docs/performance.md."""
    print(f"{NODES} nodes, {NODES * PODS_PER_NODE} pods, {POOLS} pools of {REPLICAS} replicas", file=sys.stderr)
    print("| cluster | place | plain first-fit | ratio | parsing the listing |\n|---|---|---|---|---|")
    print(row("8 GPUs per node, Pack", 8, "Pack", rounds))
    print(row("8 GPUs per node, Spread", 8, "Spread", rounds))
    print(row("4 GPUs per node, Pack: too few", 4, "Pack", rounds))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
