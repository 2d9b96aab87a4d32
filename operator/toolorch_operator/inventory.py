"""What the whole cluster holds, listed once for all pools that are planned soon after. EDGE."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Fit
from toolorch_operator.cluster import Cluster
from toolorch_operator.errors import Denied
from toolorch_operator.modelpool.claims.claims import Claims
from toolorch_operator.modelpool.claims.occupancy import parse_occupant
from toolorch_operator.modelpool.claims.snapshot import Snapshot, parse_claimant, parse_use, pool_key
from toolorch_operator.modelpool.observed import ClusterView, RunUse
from toolorch_operator.owner import Key
from toolorch_operator.placement.parse import parse_node, parse_quotas
from toolorch_operator.resources import EVAL_RUNS, MODEL_POOLS, NODES, PODS, RESOURCE_QUOTAS, Resource

MAX_AGE = timedelta(seconds=2)
"""A burst of pools, as after a restart, is planned on one listing."""
REST = 9
"""Times as long as a listing took it is believed at least: one of thousands of pods takes seconds, here and there."""
DENIED_FOR = timedelta(minutes=5)
"""RBAC changes seldom, and who changes it waits as long for a resync."""
UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"

# One that was under way, one of everything, one of the runs that changed meanwhile.
_ROUNDS = 3

log = structlog.get_logger("inventory")
T = TypeVar("T")


class Inventory:
    """Listings of one cluster; `namespace` is the only one whose pools are watched, empty: all are."""

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], namespace: str = "") -> None:
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._claims = Claims()
        self._listed: datetime | None = None
        self._took = timedelta()
        self._changes = 0
        self._runs: dict[Key, int] = {}
        self._marks = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._denied: dict[Resource, datetime] = {}

    async def refresh(self, max_age: timedelta = MAX_AGE) -> None:
        """Read afresh what is out of date: all where the last listing is too old, else the runs that have changed.

        Who comes meanwhile shares it. Raises ClusterError where the API server does not answer.
        """
        # What is under way may have begun too early, or may be the other kind of reading.
        for _ in range(_ROUNDS):
            if not (self._is_old(max_age) or self._runs):
                return
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self._read() if self._is_old(max_age) else self._read_runs())
            # One caller that is cancelled must not take the listing from the others.
            await asyncio.shield(self._refreshing)

    def _is_old(self, max_age: timedelta) -> bool:
        return self._listed is None or self._clock() - self._listed > max(max_age, self._took * REST)

    def expire(self) -> None:
        """Let the next refresh list afresh: something has changed that the last one does not show."""
        self._listed, self._changes = None, self._changes + 1

    def expire_run(self, key: Key) -> None:
        """Let the next refresh read a run again: other pools are its own, or none."""
        self._marks += 1
        self._runs[key] = self._marks

    def view(self, pool: ModelPool, nodes: Collection[str] = ()) -> ClusterView:
        """Return what a pool, as it was just read, must know of everything beside it; `nodes` are those of its pods.

        `refresh` comes before.
        """
        return self._claims.view(pool, self._clock(), nodes)

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

    async def _read(self) -> None:
        started, changes, marks = self._clock(), self._changes, dict(self._runs)
        pools, runs, nodes, pods, quotas = await asyncio.gather(
            self._cluster.collect(MODEL_POOLS, parse_claimant, self._namespace),
            self._cluster.collect(EVAL_RUNS, parse_use, self._namespace),
            self._collect(NODES, lambda node: parse_node(node, started)),
            self._collect(PODS, parse_occupant, UNFINISHED),
            self._collect(RESOURCE_QUOTAS, lambda raw: tuple(parse_quotas(raw))),
        )
        # Only now, since where even pools are denied the credentials are at fault, not a rule that leaves nodes out.
        seen, held = self._allowed(NODES, nodes), self._allowed(PODS, pods)
        limits = self._allowed(RESOURCE_QUOTAS, quotas)
        snapshot = Snapshot(
            started,
            {pool_key(pool): pool for pool in pools if pool is not None},
            dict(use for use in runs if use is not None),
        )
        if seen is not None and held is not None:
            flat = tuple(quota for of_one in limits or () for quota in of_one)
            snapshot = replace(snapshot, nodes=tuple(seen), pods=tuple(held), quotas=flat)
        self._claims.take(snapshot)
        self._forget(marks)
        ended = self._clock()
        self._took, self._listed = ended - started, ended if changes == self._changes else None

    async def _read_runs(self) -> None:
        marks = dict(self._runs)
        found = await asyncio.gather(*(self._cluster.get(EVAL_RUNS, key.namespace, key.name) for key in marks))
        for key, raw in zip(marks, found, strict=True):
            use = parse_use(raw) if raw is not None else None
            self._claims.take_run(key, use[1] if use is not None else None)
        self._forget(marks)

    def _forget(self, marks: Mapping[Key, int]) -> None:
        """Take runs for read, but for those that have changed again meanwhile."""
        self._runs = {key: mark for key, mark in self._runs.items() if marks.get(key) != mark}

    async def _collect(
        self, resource: Resource, view: Callable[[Mapping[str, Any]], T], fields: str = ""
    ) -> list[T] | Denied | None:
        """Return all objects of the cluster; nothing where that was denied not long ago."""
        # Nodes and pods are of no use without one another, and quotas without both.
        if any(self._clock() < self._denied.get(r, self._clock()) for r in (resource, NODES, PODS)):
            return None
        try:
            return await self._cluster.collect(resource, view, fieldSelector=fields)
        except Denied as error:
            return error

    def _allowed(self, resource: Resource, answer: list[T] | Denied | None) -> list[T] | None:
        if not isinstance(answer, Denied):
            return answer
        if resource not in self._denied:
            log.warning("not allowed to list", resource=resource.plural, error=str(answer), again_after=str(DENIED_FOR))
        self._denied[resource] = self._clock() + DENIED_FOR
        return None
