"""Gives every replica a node, or a reason why none takes it. PURE.

Which replicas run matters more than where: where not all find a place, as many as possible do, and Spread yields to it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace

from toolorch_operator.placement.choice import Chooser, Group, arrange, as_asked, first, place_group, size, tightest
from toolorch_operator.placement.ledger import Ledger
from toolorch_operator.placement.match import may_stay
from toolorch_operator.placement.refusals import Refusals
from toolorch_operator.placement.views import Demand, Holding, NodeView, Placement, Quota


def place(
    nodes: Iterable[NodeView], holdings: Iterable[Holding], demands: Iterable[Demand], quotas: Iterable[Quota] = ()
) -> Placement:
    """Return where each replica goes; one that has a node stays there while it can, whoever else would want it.

    The order of the arguments' items does not matter. All GPUs of a replica are on one node.
    """
    demands, holdings = list(demands), list(holdings)
    ordered = sorted(nodes, key=lambda node: node.name)
    groups = arrange(ordered, demands)
    books = Ledger(ordered, holdings, quotas)
    settle(books, demands)
    final = fill(books, unplaced(books, groups))
    refusals = Refusals(final, holdings, demands)
    why = [(group, refusals.explain(group)) for group in unplaced(final, groups)]
    return Placement(
        assigned={instance: ordered[n].name for instance, n in final.assigned.items()},
        rejected={demand.instance: rejection for group, rejection in why for demand in group.demands},
    )


def settle(books: Ledger, demands: Iterable[Demand]) -> None:
    """Leave replicas where they are: first those that run, then those that were told where to go."""
    placed = sorted((d for d in demands if d.node), key=lambda d: (not d.runs, *(-n for n in size(d)), d.instance))
    for demand in placed:
        node = books.number(demand.node)
        # A pod that is there was let in; one that was only asked for may never be.
        is_let_in = demand.runs or not any(books.exceeded(demand))
        if node is not None and is_let_in and may_stay(books.nodes[node], demand) and books.fits(node, demand):
            books.assign(demand, node)


def unplaced(books: Ledger, groups: Iterable[Group]) -> list[Group]:
    """Return the groups with those replicas only that have no place."""
    left = (replace(g, demands=tuple(d for d in g.demands if d.instance not in books.assigned)) for g in groups)
    return [group for group in left if group.demands]


def fill(books: Ledger, groups: Sequence[Group]) -> Ledger:
    """Return the books with as many replicas placed as found possible; the first way to place so many counts."""
    hopeful = [g for g in groups if any(books.fits(n, g.sample) for n in g.nodes)]
    total = len(books.assigned) + sum(len(g.demands) for g in hopeful)
    best = attempt(books, hopeful, as_asked)
    for way in (_choosy_first, _small_first, _by_name):
        if len(best.assigned) == total:
            break
        best = max(best, way(books, hopeful), key=lambda tried: len(tried.assigned))
    return best


def attempt(books: Ledger, groups: Iterable[Group], choose: Chooser) -> Ledger:
    """Return the books with the groups placed one after another."""
    tried = books.copy()
    for group in groups:
        place_group(tried, group, choose)
    return tried


def _choosy_first(books: Ledger, groups: Sequence[Group]) -> Ledger:
    """Place those with the fewest nodes before those who can go elsewhere."""
    return attempt(books, sorted(groups, key=lambda g: len(g.nodes)), tightest)


def _small_first(books: Ledger, groups: Sequence[Group]) -> Ledger:
    """Place the smallest as far as all of them find a place together, then what else fits: one big one costs many."""
    total = sum(len(g.demands) for g in groups)

    def fails(count: int) -> bool:
        chosen = _smallest(groups, count)
        return bool(unplaced(attempt(books, chosen, tightest), chosen))

    most = bisect_left(range(total), True, key=lambda n: fails(n + 1))
    tried = attempt(books, _smallest(groups, most), tightest)
    return attempt(tried, list(reversed(unplaced(tried, groups))), tightest)


def _by_name(books: Ledger, groups: Sequence[Group]) -> Ledger:
    """Place first-fit: what the plainest way can do is done, where luck helps it."""
    return attempt(books, sorted(groups, key=lambda g: (-g.sample.gpus, g.sample.pool)), first)


def _smallest(groups: Sequence[Group], count: int) -> list[Group]:
    """Return the groups, in their order, with the smallest replicas only, as many as asked for."""
    chosen: list[Group] = []
    for group in reversed(groups):
        chosen.append(replace(group, demands=group.demands[:count]))
        count -= len(chosen[-1].demands)
    return [group for group in reversed(chosen) if group.demands]
