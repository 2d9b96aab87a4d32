"""Which of the nodes that can take a replica does: the tightest of them, or the one with the fewest replicas. PURE."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolorch_operator.placement.ledger import Ledger
from toolorch_operator.placement.match import is_shunned, why_too_small, why_unmatched
from toolorch_operator.placement.views import Demand, NodeView


@dataclass(frozen=True, slots=True)
class Group:
    """Equal replicas of one pool, in the order of their numbers."""

    sample: Demand
    demands: tuple[Demand, ...]
    nodes: frozenset[int]
    """Those that may take them, if they have enough left."""
    shunned: frozenset[int]
    """Those among them that would rather not."""


def arrange(nodes: Sequence[NodeView], demands: Iterable[Demand]) -> list[Group]:
    """Return the demands in the order of their turns: big ones first, then those with the fewest nodes, then by name.

    A group's nodes are numbers in `nodes`.
    """
    alike: dict[tuple[object, ...], list[Demand]] = {}
    for demand in sorted(demands, key=lambda d: (d.pool, len(d.instance), d.instance)):
        alike.setdefault((demand.pool, *_wishes(demand), *_amounts(demand)), []).append(demand)
    matches: dict[tuple[object, ...], tuple[frozenset[int], frozenset[int]]] = {}
    for members in alike.values():
        if (wishes := _wishes(members[0])) not in matches:
            matches[wishes] = _match(nodes, members[0])
    groups = [Group(m[0], tuple(m), *matches[_wishes(m[0])]) for m in alike.values()]
    return sorted(groups, key=lambda g: (*(-n for n in size(g.sample)), len(g.nodes), g.sample.pool))


def size(demand: Demand) -> tuple[int, ...]:
    """Return how big a replica is, to compare with others: GPUs before memory before cpu."""
    return demand.gpus, demand.requests.get("memory", 0), demand.requests.get("cpu", 0)


def _wishes(demand: Demand) -> tuple[object, ...]:
    selector = tuple(sorted(demand.node_selector.items()))
    return selector, demand.tolerations, demand.gpu_products, demand.min_gpu_gib, demand.gpus > 0


def _amounts(demand: Demand) -> tuple[object, ...]:
    return demand.gpu_resource, tuple(sorted(demand.requests.items())), demand.strategy


def _match(nodes: Sequence[NodeView], demand: Demand) -> tuple[frozenset[int], frozenset[int]]:
    fitting = frozenset(
        n for n, node in enumerate(nodes) if not why_unmatched(node, demand) and not why_too_small(node, demand)
    )
    return fitting, frozenset(n for n in fitting if is_shunned(nodes[n], demand))


Chooser = Callable[[Ledger, Group], Iterator[int]]
"""Yields a node for each replica of a group in turn; the one just yielded is taken before the next is asked for."""


def place_group(ledger: Ledger, group: Group, choose: Chooser) -> None:
    """Give the replicas of a group their places, as far as nodes and quotas go."""
    nodes = choose(ledger, group)
    for demand in group.demands:
        node = None if any(ledger.exceeded(demand)) else next(nodes, None)
        if node is not None:
            ledger.assign(demand, node)


def as_asked(ledger: Ledger, group: Group) -> Iterator[int]:
    """Choose as the pool's strategy says."""
    return tightest(ledger, group) if group.sample.strategy == "Pack" else evenest(ledger, group)


def first(ledger: Ledger, group: Group) -> Iterator[int]:
    """Yield for each replica the first node that takes it."""
    for node in sorted(group.nodes):
        while ledger.fits(node, group.sample):
            yield node


def tightest(ledger: Ledger, group: Group) -> Iterator[int]:
    """Yield for each replica the node on which the fewest GPUs stay free, so that whole nodes stay whole."""
    sample = group.sample
    shelf = ledger.shelf(sample.gpu_resource)
    for numbers in (group.nodes - group.shunned, group.shunned):
        while True:
            fitting = (n for n in shelf.tightest(sample.gpus) if n in numbers and ledger.fits(n, sample))
            node = next(fitting, None)
            if node is None:
                break
            yield node


def evenest(ledger: Ledger, group: Group) -> Iterator[int]:
    """Yield for each replica the node with the fewest of its own pool, then of all, then with the most GPUs free."""
    sample = group.sample

    def rank(node: int) -> tuple[bool, int, int, int, int]:
        free = ledger.amount(node, sample.gpu_resource)
        return node in group.shunned, ledger.by_pool[sample.pool, node], ledger.replicas[node], -free, node

    # While a group is placed nothing but its own replicas changes, so only the node just taken needs a new rank.
    heap = [rank(node) for node in group.nodes if ledger.fits(node, sample)]
    heapq.heapify(heap)
    while heap:
        node = heap[0][-1]
        if not ledger.fits(node, sample):
            heapq.heappop(heap)
            continue
        yield node
        heapq.heapreplace(heap, rank(node))
