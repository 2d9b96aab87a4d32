"""What nodes and quotas have left while replicas are given their places, and who holds the rest. PURE."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from toolorch_operator.placement.views import PODS, Demand, Holding, NodeView, Quota

Amounts = Mapping[str, int]


class Shelf:
    """Nodes by how much they have left of one resource, each amount in the nodes' own order."""

    def __init__(self) -> None:
        self._by_amount: dict[int, list[int]] = defaultdict(list)

    def put(self, amount: int, node: int) -> None:
        """Add a node."""
        insort(self._by_amount[amount], node)

    def move(self, node: int, old: int, new: int) -> None:
        """Note that a node has another amount left."""
        nodes = self._by_amount[old]
        del nodes[bisect_left(nodes, node)]
        self.put(new, node)

    def tightest(self, least: int) -> Iterator[int]:
        """Yield the nodes that have at least so much left, those with the least of it first."""
        for amount in sorted(a for a in self._by_amount if a >= least):
            yield from self._by_amount[amount]


class Ledger:
    """The books of one attempt to place everything; nodes go by their number in `nodes`."""

    def __init__(self, nodes: Sequence[NodeView], holdings: Iterable[Holding], quotas: Iterable[Quota]) -> None:
        self.nodes = nodes
        self.left = [dict(node.allocatable) for node in nodes]
        self.assigned: dict[str, int] = {}
        self.by_pool: Counter[tuple[str, int]] = Counter()
        self.replicas = [0] * len(nodes)
        self.quotas: dict[str, list[tuple[Quota, list[int]]]] = defaultdict(list)
        self._shelves: dict[str, Shelf] = {}
        self._number = {node.name: number for number, node in enumerate(nodes)}
        for holding in holdings:
            if holding.node in self._number:
                self._subtract(self._number[holding.node], holding.requests)
        for quota in quotas:
            self.quotas[quota.namespace].append((quota, [quota.hard - quota.used]))

    def copy(self) -> Ledger:
        """Return books that go their own way from here."""
        twin = Ledger(self.nodes, (), ())
        twin.left = [dict(left) for left in self.left]
        twin.assigned, twin.by_pool, twin.replicas = dict(self.assigned), self.by_pool.copy(), list(self.replicas)
        for namespace, quotas in self.quotas.items():
            twin.quotas[namespace] = [(quota, list(left)) for quota, left in quotas]
        return twin

    def number(self, name: str) -> int | None:
        """Return the number of a node, None where it does not exist."""
        return self._number.get(name)

    def fits(self, node: int, demand: Demand) -> bool:
        """Tell whether a node has enough left of everything."""
        left = self.left[node]
        return all(left.get(resource, 0) >= amount for resource, amount in demand.requests.items() if amount)

    def exceeded(self, demand: Demand) -> Iterator[tuple[Quota, int]]:
        """Yield each quota that a demand does not fit in, and what it has left."""
        for quota, (left,) in self.quotas.get(demand.namespace, ()):
            if quota_amount(quota, demand) > max(left, 0):
                yield quota, left

    def assign(self, demand: Demand, node: int) -> None:
        """Give a replica its place."""
        self._subtract(node, demand.requests)
        self.assigned[demand.instance] = node
        self.by_pool[demand.pool, node] += 1
        self.replicas[node] += 1
        for quota, left in self.quotas.get(demand.namespace, ()):
            left[0] -= quota_amount(quota, demand)

    def shelf(self, resource: str) -> Shelf:
        """Return the nodes by what they have left of a resource; of all GPUs and the like where it is empty."""
        if resource not in self._shelves:
            shelf = self._shelves[resource] = Shelf()
            for node in range(len(self.nodes)):
                shelf.put(self.amount(node, resource), node)
        return self._shelves[resource]

    def amount(self, node: int, resource: str) -> int:
        """Return how much a node has left of a resource; of all GPUs and the like where it is empty."""
        left = self.left[node]
        if resource:
            return max(left.get(resource, 0), 0)
        # Extended resources alone have a domain in their name.
        return sum(max(amount, 0) for name, amount in left.items() if "/" in name)

    def _subtract(self, node: int, requests: Amounts) -> None:
        before = {resource: self.amount(node, resource) for resource in self._shelves}
        left = self.left[node]
        for resource, amount in requests.items():
            left[resource] = left.get(resource, 0) - amount
        for resource, old in before.items():
            self._shelves[resource].move(node, old, self.amount(node, resource))


def quota_amount(quota: Quota, demand: Demand) -> int:
    """Return what a replica takes of a quota; every one of them is a pod."""
    return 1 if quota.resource == PODS else demand.requests.get(quota.resource, 0)
