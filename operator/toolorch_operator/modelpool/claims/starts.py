"""Which replicas have, want or give back a start slot, by node: of thousands few are beside any one pool. PURE."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from toolorch_api.modelpool_status import InstanceState
from toolorch_operator.modelpool.observed import StartView
from toolorch_operator.owner import Key

# Of other pools' replicas only these count for whoever waits for a slot.
_OF_SLOTS = (InstanceState.STARTING, InstanceState.WAITING_FOR_SLOT, InstanceState.CRASHED)


class Starts:
    """The replicas of all pools that start, or want to."""

    def __init__(self) -> None:
        self._by_node: dict[str, dict[Key, list[StartView]]] = {}
        self._nodes: dict[Key, set[str]] = {}

    def take(self, key: Key, starts: Iterable[StartView]) -> None:
        """Take how far a pool's replicas are now."""
        for node in self._nodes.pop(key, ()):
            del self._by_node[node][key]
        for start in starts:
            if start.state in _OF_SLOTS:
                self._by_node.setdefault(start.node, {}).setdefault(key, []).append(start)
                self._nodes.setdefault(key, set()).add(start.node)

    def besides(self, key: Key, nodes: Collection[str] | None = None) -> list[StartView]:
        """Return those of the other pools: on some nodes, or everywhere."""
        places = self._by_node if nodes is None else nodes & self._by_node.keys()
        return [s for node in places for other, starts in self._by_node[node].items() if other != key for s in starts]
