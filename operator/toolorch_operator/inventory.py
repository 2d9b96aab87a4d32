"""What the whole cluster holds, listed once for all pools that are planned soon after. EDGE."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Fit
from toolorch_operator.cluster import Cluster
from toolorch_operator.errors import Denied
from toolorch_operator.modelpool.claims.claims import Claims
from toolorch_operator.modelpool.claims.snapshot import parse_snapshot
from toolorch_operator.modelpool.observed import ClusterView, RunUse
from toolorch_operator.owner import Key
from toolorch_operator.resources import EVAL_RUNS, MODEL_POOLS, NODES, PODS, RESOURCE_QUOTAS, Objects, Resource

MAX_AGE = timedelta(seconds=2)
"""A burst of pools, as after a restart, is planned on one listing."""
DENIED_FOR = timedelta(minutes=5)
"""RBAC changes seldom, and who changes it waits as long for a resync."""
UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"

log = structlog.get_logger("inventory")


class Inventory:
    """Listings of one cluster; `namespace` is the only one whose pools are watched, empty: all are."""

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], namespace: str = "") -> None:
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._claims = Claims()
        self._listed: datetime | None = None
        self._changes = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._denied: dict[Resource, datetime] = {}

    async def refresh(self, max_age: timedelta = MAX_AGE) -> None:
        """List afresh unless the last listing is young enough; who comes meanwhile shares it.

        Raises ClusterError where the API server does not answer.
        """
        if self._refreshing is not None and not self._refreshing.done():
            await asyncio.shield(self._refreshing)
        if self._listed is not None and self._clock() - self._listed <= max_age:
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        # One caller that is cancelled must not take the listing from the others.
        await asyncio.shield(self._refreshing)

    def expire(self) -> None:
        """Let the next refresh list afresh: something has changed that the last one does not show."""
        self._listed, self._changes = None, self._changes + 1

    def view(self, pool: ModelPool) -> ClusterView:
        """Return what a pool, as it was just read, must know of everything beside it; `refresh` comes before."""
        return self._claims.view(pool, self._clock())

    def fit(self, pool: ModelPool) -> Fit:
        """Return which nodes a model's weights fit, as far as their size and the nodes are known."""
        return self._claims.fit(pool)

    def namesakes(self, pool: ModelPool) -> list[ModelPool]:
        """Return the other pools of the namespace that run the same model from the same cache."""
        return self._claims.namesakes(pool)

    def runs(self, pool: ModelPool) -> tuple[RunUse, ...]:
        """Return the runs that use a pool: neither ended nor suspended."""
        return self._claims.runs(pool)

    def note(self, key: Key, status: Mapping[str, Any]) -> None:
        """Take a pool's planned status for its true one until a listing shows it; call it before awaiting anything."""
        self._claims.note(key, status, self._clock())

    async def _refresh(self) -> None:
        started, changes = self._clock(), self._changes
        pools, runs, nodes, pods, quotas = await asyncio.gather(
            self._cluster.list(MODEL_POOLS, self._namespace),
            self._cluster.list(EVAL_RUNS, self._namespace),
            self._list(NODES),
            self._list(PODS, UNFINISHED),
            self._list(RESOURCE_QUOTAS),
        )
        # Only now, since where even pools are denied the credentials are at fault, not a rule that leaves nodes out.
        room = self._allowed(NODES, nodes), self._allowed(PODS, pods), self._allowed(RESOURCE_QUOTAS, quotas)
        self._claims.take(parse_snapshot(started, self._clock(), pools, runs, room))
        self._listed = self._clock() if changes == self._changes else None

    async def _list(self, resource: Resource, fields: str = "") -> Objects | Denied | None:
        """Return all objects of the cluster; nothing where that was denied not long ago."""
        # Nodes and pods are of no use without one another, and quotas without both.
        if any(self._clock() < self._denied.get(r, self._clock()) for r in (resource, NODES, PODS)):
            return None
        try:
            return await self._cluster.list(resource, fields=fields)
        except Denied as error:
            return error

    def _allowed(self, resource: Resource, answer: Objects | Denied | None) -> Objects | None:
        if not isinstance(answer, Denied):
            return answer
        if resource not in self._denied:
            log.warning("not allowed to list", resource=resource.plural, error=str(answer), again_after=str(DENIED_FOR))
        self._denied[resource] = self._clock() + DENIED_FOR
        return None
