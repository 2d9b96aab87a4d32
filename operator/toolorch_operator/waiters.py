"""Which pools wait for what other pools hold, so that a change wakes those that it may help, and no more. PURE.

Of the thousands of replicas that start one after another each concerns those that wait on its own node. What is
remembered here is a hint: a look reads everything itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.owner import Key

Good = tuple[str, str]
"""What may be waited for: a start slot of a node, room anywhere, or a model that a pool of a namespace fetches."""
ROOM: Good = ("room", "")
_ANY_SLOT: Good = ("slot", "")

_FOR_ROOM = frozenset(
    (PoolReason.INSUFFICIENT_GPU, PoolReason.INSUFFICIENT_RESOURCES, PoolReason.QUOTA_EXCEEDED),
)


@dataclass(frozen=True, slots=True)
class _Pool:
    """What a status shows of it."""

    replicas: frozenset[tuple[str, str, str]] = frozenset()
    """Name, node and state."""
    wants: frozenset[Good] = frozenset()

    @property
    def seats(self) -> set[tuple[str, str]]:
        """The places that it takes."""
        return {(name, node) for name, node, state in self.replicas if node and state != InstanceState.DRAINING}


class Waiters:
    """The pools that wait, by what they wait for."""

    def __init__(self) -> None:
        self._pools: dict[Key, _Pool] = {}
        self._by_good: dict[Good, set[Key]] = {}

    def take(self, key: Key, pool: Mapping[str, Any]) -> set[Key]:
        """Remember a pool as it is now, empty: it is gone; return the others that this change may help."""
        before, after = self._pools.pop(key, _Pool()), _parse(key, pool)
        if after != _Pool():
            self._pools[key] = after
        for good in before.wants - after.wants:
            self._by_good[good].discard(key)
            if not self._by_good[good]:
                del self._by_good[good]
        for good in after.wants - before.wants:
            self._by_good.setdefault(good, set()).add(key)
        return {other for good in _given(key, before, after) for other in self.of(good)} - {key}

    def of(self, good: Good) -> set[Key]:
        """Return who waits for something."""
        return self._by_good.get(good, set())


def _parse(key: Key, pool: Mapping[str, Any]) -> _Pool:
    status = pool.get("status") or {}
    reason = str(status.get("reason", ""))
    listed = status.get("instances") or ()
    replicas = frozenset((i.get("name", ""), i.get("node", ""), i.get("state", "")) for i in listed)
    wants = {("slot", node) for _, node, state in replicas if state == InstanceState.WAITING_FOR_SLOT}
    if reason == PoolReason.WAITING_FOR_SLOT and not wants:
        wants.add(_ANY_SLOT)
    if reason in _FOR_ROOM:
        wants.add(ROOM)
    if reason == PoolReason.FETCHING_MODEL:
        wants.add(("fetch", key.namespace))
    return _Pool(replicas, frozenset(wants))


def _given(key: Key, before: _Pool, after: _Pool) -> set[Good]:
    """Return what may be free now, or be given to another."""
    changed = before.replicas ^ after.replicas
    if not changed:
        return set()
    slots = {("slot", node) for _, node, _ in changed}
    return slots | {_ANY_SLOT, ("fetch", key.namespace)} | ({ROOM} if before.seats - after.seats else set())
