"""All objects are looked at again from time to time, so that no lost event is lost for good. EDGE.

Thousands that are at rest would make that the most expensive thing an operator does. They are listed with all that
belongs to them, a page of many objects at a time, and left alone where nothing has changed since the last listing.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_operator.owner import Key, parse_key, parse_owner
from toolorch_operator.reconcile import World
from toolorch_operator.resources import CHILDREN, MANAGED_SELECTOR, OWNERS, Resource
from toolorch_operator.rest import is_at_rest
from toolorch_operator.workqueue import WorkQueue

SPREAD_SECONDS = 120.0
"""Seconds over which a resync spreads its keys at most: it comes every 300, and its looks read everything."""
KEYS_PER_SECOND = 20
"""So many keys are no load; few pools that are looked at together share one listing of the cluster."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """What is kept of an object of ours while the rest is listed."""

    key: Key
    version: str
    is_at_rest: bool


class Resync:
    """Looks for what to look at; `namespace` is the only one whose objects are watched, empty: all are.

    What is at rest hangs on itself and its children: nothing else decides anything before one of these has changed.
    """

    def __init__(self, world: World, queue: WorkQueue, namespace: str = "") -> None:
        self._world = world
        self._queue = queue
        self._namespace = namespace
        self._seen: dict[Key, int] = {}

    async def add_changed(self) -> None:
        """Have every object reconciled that may need it, the first time all; raise ClusterError with nothing done.

        What was refused is tried again.
        """
        listed = [item for resource in OWNERS for item in await self._list(resource)]
        parts: defaultdict[Key | None, list[str]] = defaultdict(list)
        for resource in CHILDREN:
            for owner, version in await self._world.cluster.collect(
                resource, _child, self._namespace, labelSelector=MANAGED_SELECTOR
            ):
                parts[owner].append(version)
        before, refused = self._seen, set(self._world.refused)
        self._seen = {item.key: hash((item.version, *sorted(parts[item.key]))) for item in listed}
        self._world.refused.clear()
        self._add(
            [
                item.key
                for item in listed
                if not item.is_at_rest or item.key in refused or before.get(item.key) != self._seen[item.key]
            ]
        )

    async def _list(self, resource: Resource) -> list[_Listed]:
        # Items of a list say neither their kind nor their version.
        return await self._world.cluster.collect(
            resource, lambda item: _listed({**item, "kind": resource.kind}), self._namespace
        )

    def _add(self, keys: list[Key]) -> None:
        spread = min(SPREAD_SECONDS, len(keys) / KEYS_PER_SECOND)
        for key in keys:
            self._world.freshness.mark(key)
            self._queue.add(key, random.uniform(0, spread))


def _listed(item: Mapping[str, Any]) -> _Listed:
    return _Listed(parse_key(item), item["metadata"].get("resourceVersion", ""), is_at_rest(item))


def _child(item: Mapping[str, Any]) -> tuple[Key | None, str]:
    meta = item["metadata"]
    return parse_owner(item), f"{meta.get('uid', meta['name'])} {meta.get('resourceVersion', '')}"
