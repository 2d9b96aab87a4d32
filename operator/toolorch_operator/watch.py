"""Watch events become keys in the queue and marks on what is known, and nothing else happens here. EDGE.

Which runs wait for which pools is remembered as a hint only: a resync comes anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolorch_api import evalrun, modelpool
from toolorch_operator.echoes import Echoes
from toolorch_operator.freshness import Freshness
from toolorch_operator.glances import Glance, glance
from toolorch_operator.modelpool.claims.snapshot import used_pools
from toolorch_operator.owner import Key, parse_key, parse_owner
from toolorch_operator.resources import BY_KIND, JOBS, MODEL_POOLS, PODS, Resource
from toolorch_operator.waiters import ROOM, Waiters
from toolorch_operator.workqueue import WorkQueue

COALESCE = 0.1
"""Seconds that a child's event waits for its siblings: a rollout is a burst of them."""
END = 0.3
"""Seconds that the end of a run's pod or Job waits for others: shards share their work, so that they end together."""
BURST = 1.0
"""Seconds that an event waits which nobody waits for: pods of a Job are made, placed and started one after another."""

_DELAYS = {True: END, False: BURST, None: COALESCE}


class Watch:
    """The handlers. What they remember are hints only: which keys a change may wake.

    `expire` says that the last listing is out of date, `expire_run` that it is for one run; `freshness` what else is,
    and `echoes` knows which events only tell of an own write.
    """

    def __init__(
        self,
        queue: WorkQueue,
        expire: Callable[[], None] = lambda: None,
        expire_run: Callable[[Key], None] = lambda key: None,
        freshness: Freshness | None = None,
        echoes: Echoes | None = None,
    ) -> None:
        self._queue = queue
        self._expire = expire
        self._expire_run = expire_run
        self._freshness = freshness or Freshness()
        self._echoes = echoes or Echoes()
        self._pools_of: dict[Key, set[Key]] = {}
        self._runs_of: dict[Key, set[Key]] = {}
        self._waiters = Waiters()

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
            names = set() if type == "DELETED" else set(used_pools(body))
            self._take_run(key, {Key(modelpool.KIND, key.namespace, name) for name in names})
        if key.kind == modelpool.KIND:
            self._wake_runs(key, body, type)
            # What this pool gave up may be what another waits for.
            for pool in self._waiters.take(key, {} if type == "DELETED" else body):
                self._queue.add(pool, COALESCE)

    def _take_run(self, key: Key, pools: set[Key]) -> None:
        before = self._pools_of.pop(key, set())
        if pools:
            self._pools_of[key] = pools
        if pools == before:
            return
        # Until now no event of these pools reached this run.
        self._freshness.mark(key, MODEL_POOLS)
        self._expire_run(key)
        for pool in before - pools:
            self._runs_of[pool].discard(key)
            if not self._runs_of[pool]:
                del self._runs_of[pool]
        for pool in pools - before:
            self._runs_of.setdefault(pool, set()).add(key)
        # A pool sleeps until a run names it, and keeps its settings until none does.
        for pool in before | pools:
            self._queue.add(pool, COALESCE)

    def _wake_runs(self, key: Key, body: Mapping[str, Any], type_: str | None) -> None:
        part = (MODEL_POOLS, key.namespace, key.name)
        users = self._runs_of.get(key, set())
        # A run that is suspended is not woken, and yet is to know at its next look.
        for run in {*users, *self._freshness.readers(part)}:
            if run.kind == evalrun.KIND and self._look(run, body, type_).is_news:
                self._freshness.mark_one(run, part)
                if run in users:
                    self._queue.add(run, COALESCE)

    async def child(self, body: Mapping[str, Any], type: str | None, **_: Any) -> None:
        """Take an event of a child."""
        owner = parse_owner(body)
        seen = self._look(owner, body, type) if owner is not None else None
        if owner is not None and seen is not None and seen.is_news:
            self._freshness.mark(owner, *_stale_after(body))
            self._queue.add(owner, _DELAYS[seen.is_end])
        if type == "DELETED" and body.get("kind") == PODS.kind and (waiting := self._waiters.of(ROOM)):
            # Only now is its room free, and the last listing still has it.
            self._expire()
            for pool in waiting:
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
