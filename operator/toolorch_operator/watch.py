"""Watch events become keys in the queue and marks on what is known, and nothing else happens here. EDGE.

Which runs wait for which pools is remembered as a hint only: a resync comes anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolorch_api import evalrun, modelpool
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.echoes import Echoes
from toolorch_operator.freshness import Freshness
from toolorch_operator.glances import Glance, glance
from toolorch_operator.modelpool.claims.snapshot import used_pools
from toolorch_operator.owner import Key, parse_key, parse_owner
from toolorch_operator.resources import BY_KIND, JOBS, MODEL_POOLS, PODS, Resource
from toolorch_operator.workqueue import WorkQueue

COALESCE = 0.1
"""Seconds that a child's event waits for its siblings: a rollout is a burst of them."""
END = 0.3
"""Seconds that the end of a run's pod or Job waits for others: shards share their work, so that they end together."""
BURST = 1.0
"""Seconds that an event waits which nobody waits for: pods of a Job are made, placed and started one after another."""

_DELAYS = {True: END, False: BURST, None: COALESCE}

# What the end, or the start, of another pool may change.
_WAITS_FOR_OTHERS = frozenset(
    (
        PoolReason.WAITING_FOR_SLOT,
        PoolReason.INSUFFICIENT_GPU,
        PoolReason.INSUFFICIENT_RESOURCES,
        PoolReason.QUOTA_EXCEEDED,
        PoolReason.FETCHING_MODEL,
    )
)


class Watch:
    """The handlers; `runs` are the pools that each unfinished EvalRun uses, `waiting` the pools that others hold up.

    Both are hints only: which keys a change may wake. `expire` says that the last listing is out of date, `freshness`
    what else is, and `echoes` knows which events only tell of an own write.
    """

    def __init__(
        self,
        queue: WorkQueue,
        expire: Callable[[], None] = lambda: None,
        freshness: Freshness | None = None,
        echoes: Echoes | None = None,
    ) -> None:
        self._queue = queue
        self._expire = expire
        self._freshness = freshness or Freshness()
        self._echoes = echoes or Echoes()
        self.runs: dict[Key, set[str]] = {}
        self.waiting: set[Key] = set()
        self._states: dict[Key, tuple[tuple[str, str], ...]] = {}

    async def own(self, body: Mapping[str, Any], type: str | None, **_: Any) -> None:
        """Take an event of a ModelPool or EvalRun."""
        key = parse_key(body)
        is_echo = type == "MODIFIED" and self._echoes.is_own(key, body["metadata"].get("resourceVersion", ""))
        if not is_echo:
            self._freshness.mark(key)
        # A pool's brain takes some of its turns by its own status, and such a look costs one request.
        if not is_echo or key.kind == modelpool.KIND:
            self._queue.add(key)
        if key.kind == evalrun.KIND:
            self._take_run(key, set() if type == "DELETED" else set(used_pools(body)))
        if key.kind == modelpool.KIND:
            self._wake_runs(key, body, type)
            self._take_pool(key, {} if type == "DELETED" else body)

    def _take_run(self, key: Key, pools: set[str]) -> None:
        before = self.runs.get(key, set())
        if pools == before:
            return
        self.runs[key] = pools
        # Until now no event of these pools reached this run.
        self._freshness.mark(key, MODEL_POOLS)
        if not pools:
            del self.runs[key]
        self._expire()
        # A pool sleeps until a run names it, and keeps its settings until none does.
        for name in before | pools:
            self._queue.add(Key(modelpool.KIND, key.namespace, name), COALESCE)

    def _wake_runs(self, key: Key, body: Mapping[str, Any], type_: str | None) -> None:
        # A run that is suspended is not woken, and yet is to know at its next look.
        for run in {*self.runs, *self._freshness.keys(evalrun.KIND)}:
            if run.namespace == key.namespace and self._look(run, body, type_).is_news:
                self._freshness.mark_one(run, (MODEL_POOLS, key.namespace, key.name))
                if key.name in self.runs.get(run, ()):
                    self._queue.add(run, COALESCE)

    def _take_pool(self, key: Key, body: Mapping[str, Any]) -> None:
        (self.waiting.add if _waits_for_others(body) else self.waiting.discard)(key)
        states = _states(body)
        if self._states.get(key) == states:
            return
        self._states[key] = states
        if not body:
            del self._states[key]
        # What this pool gave up may be what another waits for.
        for pool in self.waiting - {key}:
            self._queue.add(pool, COALESCE)

    async def child(self, body: Mapping[str, Any], type: str | None, **_: Any) -> None:
        """Take an event of a child."""
        owner = parse_owner(body)
        seen = self._look(owner, body, type) if owner is not None else None
        if owner is not None and seen is not None and seen.is_news:
            self._freshness.mark(owner, *_stale_after(body))
            self._queue.add(owner, _DELAYS[seen.is_end])
        if type == "DELETED" and body.get("kind") == PODS.kind and self.waiting:
            # Only now is its room free, and the last listing still has it.
            self._expire()
            for pool in self.waiting:
                self._queue.add(pool, COALESCE)

    def _look(self, key: Key, body: Mapping[str, Any], type_: str | None) -> Glance:
        meta, resource = body["metadata"], BY_KIND.get(body.get("kind", ""))
        known = self._freshness.find(key, resource, meta.get("namespace", ""), meta["name"]) if resource else None
        return glance(key.kind, body, type_, known)


def _stale_after(child: Mapping[str, Any]) -> tuple[Resource, ...]:
    """Return what an event puts out of date: a Job's pods with the Job, since two watches tell of them."""
    resource = BY_KIND.get(child.get("kind", ""))
    if resource is None:
        return ()  # which means all
    return (JOBS, PODS) if resource == JOBS else (resource,)


def _waits_for_others(pool: Mapping[str, Any]) -> bool:
    return str((pool.get("status") or {}).get("reason", "")) in _WAITS_FOR_OTHERS


def _states(pool: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((i.get("name", ""), i.get("state", "")) for i in (pool.get("status") or {}).get("instances") or ())
