"""Why no node takes a replica, in one sentence with its numbers and with those who hold what it lacks. PURE."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.placement.choice import Group
from toolorch_operator.placement.ledger import Ledger, quota_amount
from toolorch_operator.placement.match import why_too_small, why_unmatched
from toolorch_operator.placement.views import CPU, MEMORY, PODS, Demand, Holding, Rejection

# A sentence with more of them is not read to its end.
_NAMED_NODES = 5
_NAMED_HOLDERS = 2
# Names may have 253 characters, and a condition has room for about 1,000.
_NAME_CHARACTERS = 48
_MILLI, _GIB = 1000, 1 << 30


class Refusals:
    """The end of placing everything: what nodes have left, and who holds the rest."""

    def __init__(self, books: Ledger, holdings: Iterable[Holding], demands: Iterable[Demand]) -> None:
        self._books = books
        self._holders: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        for holding in holdings:
            if (node := books.number(holding.node)) is not None:
                self._count(node, holding.holder, holding.requests.items())
        for demand in demands:
            if (node := books.assigned.get(demand.instance)) is not None:
                self._count(node, f"pool {demand.pool}", demand.requests.items())

    def _count(self, node: int, holder: str, requests: Iterable[tuple[str, int]]) -> None:
        for resource, amount in requests:
            self._holders[node, resource][holder] += amount

    def explain(self, group: Group) -> Rejection:
        """Return why the replicas of a group have no place."""
        demand = group.sample
        able = [n for n in sorted(group.nodes) if self._is_equipped(n, demand)]
        if not able:
            return self._explain_no_match(demand)
        for quota, left in self._books.exceeded(demand):
            needed = _amount(quota.resource, quota_amount(quota, demand))
            had = f"{_bare(quota.resource, max(left, 0))} of {_amount(quota.resource, quota.hard)}"
            message = f"needs {needed}; ResourceQuota {_short(quota.name)} has {had} left"
            return Rejection(PoolReason.QUOTA_EXCEEDED, message)
        with_gpus = [n for n in able if self._books.amount(n, demand.gpu_resource) >= demand.gpus]
        return self._explain_lack(demand, with_gpus) if with_gpus else self._explain_no_gpus(demand, able)

    def _is_equipped(self, node: int, demand: Demand) -> bool:
        return not demand.gpus or self._books.nodes[node].allocatable.get(demand.gpu_resource, 0) > 0

    def _explain_no_match(self, demand: Demand) -> Rejection:
        if not self._books.nodes:
            return Rejection(PoolReason.NO_MATCHING_NODE, "the cluster has no nodes")
        nodes = [node for n, node in enumerate(self._books.nodes) if self._is_equipped(n, demand)]
        if not nodes:
            need = f"needs {_amount(demand.gpu_resource, demand.gpus)} on one node"
            return Rejection(PoolReason.INSUFFICIENT_GPU, f"{need}; no node has any {demand.gpu_resource}")
        whys = [
            (node.name, why)
            for node in nodes
            if not why_unmatched(node, demand) and (why := why_too_small(node, demand))
        ]
        reason, need = PoolReason.MODEL_DOES_NOT_FIT, f"needs {demand.min_gpu_gib:.1f} GiB on each GPU"
        if not whys:
            whys = [(node.name, why_unmatched(node, demand)) for node in nodes]
            reason, need = PoolReason.NO_MATCHING_NODE, "no node may take it"
        listed = _list([f"{_short(name)} {why}" for name, why in whys])
        return Rejection(reason, f"{need}: {listed}", tuple(whys[:_NAMED_NODES]))

    def _explain_no_gpus(self, demand: Demand, candidates: Sequence[int]) -> Rejection:
        books, resource = self._books, demand.gpu_resource
        need = f"needs {_amount(resource, demand.gpus)} on one node"
        closest = self._sorted(candidates, lambda n: books.amount(n, resource))
        nodes = [(books.nodes[n].name, self._level(n, resource, demand)) for n in closest]
        listed = _list([f"{_short(name)} {level}" for name, level in nodes])
        return Rejection(PoolReason.INSUFFICIENT_GPU, f"{need}; free: {listed}", tuple(nodes[:_NAMED_NODES]))

    def _explain_lack(self, demand: Demand, candidates: Sequence[int]) -> Rejection:
        books = self._books
        wanted = {r: amount for r, amount in demand.requests.items() if amount and r != demand.gpu_resource}

        def lacking(node: int) -> list[str]:
            return [r for r, amount in sorted(wanted.items()) if books.left[node].get(r, 0) < amount]

        closest = self._sorted(candidates, lambda n: -len(lacking(n)))
        nodes = [(books.nodes[n].name, " and ".join(self._level(n, r, demand) for r in lacking(n))) for n in closest]
        gpus = [_amount(demand.gpu_resource, demand.gpus)] if demand.gpus else []
        lacks = {r for n in candidates for r in lacking(n)}
        need = " and ".join([*gpus, *(_amount(r, amount) for r, amount in sorted(wanted.items()) if r in lacks)])
        listed = _list([f"{_short(name)} {level}" for name, level in nodes])
        message = f"needs {need} on one node; free: {listed}"
        return Rejection(PoolReason.INSUFFICIENT_RESOURCES, message, tuple(nodes[:_NAMED_NODES]))

    def _sorted(self, nodes: Iterable[int], nearness: Callable[[int], int]) -> list[int]:
        return sorted(nodes, key=lambda n: (-nearness(n), self._books.nodes[n].name))

    def _level(self, node: int, resource: str, demand: Demand) -> str:
        """Return what a node has left of a resource, and who holds the rest."""
        total = self._books.nodes[node].allocatable.get(resource, 0)
        free = max(self._books.left[node].get(resource, 0), 0)
        holders = sorted(self._holders[node, resource].items(), key=lambda h: (-h[1], h[0]))
        named = [(_of_namespace(h, demand), amount) for h, amount in holders[:_NAMED_HOLDERS] if amount]
        told = [f"{_bare(resource, amount)} held by {_short(holder)}" for holder, amount in named]
        rest = sum(amount for _, amount in holders[_NAMED_HOLDERS:])
        told += [f"{_bare(resource, rest)} by others"] if rest else []
        held = f" ({', '.join(told)})" if told else ""
        if resource == demand.gpu_resource:
            return f"{_bare(resource, free)} of {_bare(resource, total)}{held}"
        return f"{_bare(resource, free)} of {_amount(resource, total)}{held}"


def _of_namespace(holder: str, demand: Demand) -> str:
    """Leave out the namespace of a pool that is the reader's own."""
    own = f"pool {demand.namespace}/"
    return f"pool {holder.removeprefix(own)}" if holder.startswith(own) else holder


def _list(parts: Sequence[str]) -> str:
    more = len(parts) - _NAMED_NODES
    return ", ".join(parts[:_NAMED_NODES]) + (f" and {more} more" if more > 0 else "")


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"


def _bare(resource: str, amount: int) -> str:
    """Return an amount in the unit that people speak of, without it."""
    if resource == CPU:
        return f"{amount / _MILLI:g}"
    return f"{round(amount / _GIB, 1):g}" if resource == MEMORY else str(amount)


def _amount(resource: str, amount: int) -> str:
    """Return an amount with its unit."""
    text = _bare(resource, amount)
    plural = "" if text == "1" else "s"
    if resource == CPU:
        return f"{text} CPU{plural}"
    if resource == MEMORY:
        return f"{text} GiB of memory"
    if resource == PODS:
        return f"{text} pod{plural}"
    return f"{text} GPU{plural}" if resource.endswith("/gpu") else f"{text} {resource}"
