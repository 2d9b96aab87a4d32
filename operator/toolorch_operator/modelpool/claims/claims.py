"""What every pool claims of the cluster, and the one placement that all of them are planned by. PURE.

A plan counts from the moment it is made: its status is noted here until a listing shows it, so that two pools never
take the same GPU or the same start slot, however long their writes take.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from toolorch_api.modelpool import Engine, ModelPool
from toolorch_api.modelpool_status import Fit, ModelPoolStatus
from toolorch_operator.modelpool.claims.fit import find_weights, judge_fit
from toolorch_operator.modelpool.claims.occupancy import (
    Occupant,
    count_wanted,
    find_demands,
    find_holdings,
    find_starts,
    free_quotas,
    is_same_claim,
)
from toolorch_operator.modelpool.claims.snapshot import PoolUse, Snapshot, pool_key
from toolorch_operator.modelpool.claims.starts import Starts
from toolorch_operator.modelpool.instances import instance_key, instance_names
from toolorch_operator.modelpool.memory.rungs import utilization
from toolorch_operator.modelpool.observed import ClusterView, RunUse
from toolorch_operator.owner import Key
from toolorch_operator.placement.place import place
from toolorch_operator.placement.views import Demand, Placement

# Three requests that time out one after another: a status that is not written by then is planned anew.
_NOTE_LASTS = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Note:
    """A status that was planned for the pool of this resourceVersion."""

    time: datetime
    status: ModelPoolStatus
    version: str


class Claims:
    """The latest of every pool, from listings, from who has just read it, and from plans that are not written yet."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._seen: dict[Key, tuple[datetime, ModelPool]] = {}
        self._notes: dict[Key, Note] = {}
        self._pods: dict[str, list[Occupant]] = {}
        self._demands: dict[Key, tuple[Demand, ...]] = {}
        self._placement = Placement()
        self._changed: set[Key] | None = None
        self._starts = Starts()
        self._moved: set[Key] | None = None
        self._runs: dict[Key, PoolUse] = {}
        self._users: dict[Key, dict[Key, RunUse]] = {}

    def take(self, snapshot: Snapshot) -> None:
        """Go on from a new listing."""
        pods: dict[str, list[Occupant]] = defaultdict(list)
        for pod in snapshot.pods:
            pods[pod.pool].append(pod)
        self._snapshot, self._pods, self._changed, self._moved = snapshot, pods, None, None
        self._runs, self._users = {}, {}
        for run, use in snapshot.runs.items():
            self.take_run(run, use)
        self._seen = {key: entry for key, entry in self._seen.items() if entry[0] > snapshot.started}
        self._notes = {key: note for key, note in self._notes.items() if self._is_unseen(key, note, snapshot)}

    def _is_unseen(self, key: Key, note: Note, snapshot: Snapshot) -> bool:
        """Tell whether a listing is older than the write of a note; the write comes long after the note."""
        if note.time >= snapshot.started:
            return True
        listed = snapshot.pools.get(key)
        still = listed is not None and listed.metadata.resource_version == note.version
        return still and snapshot.started - note.time < _NOTE_LASTS

    def note(self, key: Key, status: Mapping[str, Any], now: datetime) -> None:
        """Take a planned status for a pool's true one."""
        latest = self._latest(key)
        version = latest.metadata.resource_version if latest else ""
        self._notes[key] = Note(now, ModelPoolStatus.model_validate(status), version)
        self._touch(key)

    def view(self, pool: ModelPool, now: datetime, nodes: Collection[str] = ()) -> ClusterView:
        """Return what a pool, as it was just read, must know of everything beside it; `nodes` are those of its pods."""
        key = pool_key(pool)
        self._seen[key] = (now, pool)
        self._touch(key)
        self._keep_starts()
        placement = self._place_for(key)
        if placement is None:
            return ClusterView(None, self._starts.besides(key))
        told = (
            placement.assigned.get(instance_key(pool, name), "") for name in instance_names(pool, pool.spec.replicas)
        )
        here = {*nodes, *told, *(instance.node for instance in self._pool(key).status.instances)}
        return ClusterView(placement, self._starts.besides(key, here))

    def fit(self, pool: ModelPool) -> Fit:
        """Return which nodes a model's weights fit, as far as their size and the nodes are known."""
        nodes = self._snapshot.nodes if self._snapshot else None
        return judge_fit(pool, find_weights(pool), nodes or (), utilization(pool.spec, pool.status.effective))

    def namesakes(self, pool: ModelPool) -> list[ModelPool]:
        """Return the other pools of the namespace that run the same model from the same cache."""
        own, spec = pool_key(pool), pool.spec
        if spec.cache is None:
            return []
        beside = (self._pool(key) for key in sorted(self._keys()) if key.namespace == own.namespace and key != own)
        return [p for p in beside if (p.spec.model, p.spec.cache) == (spec.model, spec.cache)]

    def runs(self, pool: ModelPool) -> tuple[RunUse, ...]:
        """Return the runs that use a pool, as they were last read."""
        return tuple(self._users.get(pool_key(pool), {}).values())

    def take_run(self, key: Key, use: PoolUse | None) -> None:
        """Take which pools a run uses now; None: it is gone."""
        before = self._runs.pop(key, None)
        for pool in before.pools if before is not None else ():
            self._users[pool].pop(key)
        if use is None or not use.pools:
            return
        self._runs[key] = use
        for pool in use.pools:
            self._users.setdefault(pool, {})[key] = use.run

    def _touch(self, key: Key) -> None:
        for changes in (self._changed, self._moved):
            if changes is not None:
                changes.add(key)

    def _keep_starts(self) -> None:
        if self._moved is None:
            self._starts = Starts()
        for key in self._keys() if self._moved is None else self._moved:
            self._starts.take(key, find_starts(self._pool(key)))
        self._moved = set()

    def _keys(self) -> set[Key]:
        return {*self._seen, *(self._snapshot.pools if self._snapshot else ())}

    def _latest(self, key: Key) -> ModelPool | None:
        if key in self._seen:
            return self._seen[key][1]
        return self._snapshot.pools.get(key) if self._snapshot else None

    def _pool(self, key: Key) -> ModelPool:
        """Return a pool with the status that counts."""
        seen = self._latest(key)
        assert seen is not None
        return seen.model_copy(update={"status": self._notes[key].status}) if key in self._notes else seen

    def _place_for(self, key: Key) -> Placement | None:
        if self._snapshot is None or self._snapshot.nodes is None:
            return None
        self._keep_up(self._snapshot)
        pool = self._pool(key)
        most = pool.spec.replicas if pool.spec.engine is not Engine.EXTERNAL else 0
        if count_wanted(pool) == most:
            return self._placement
        # An idle pool is told where it would go if it woke now.
        return _solve(self._snapshot, {**self._demands, key: self._ask(key, most)})

    def _keep_up(self, snapshot: Snapshot) -> None:
        """Place anew, unless all that has changed is that pools went where they were told to go."""
        changed = self._keys() if self._changed is None else self._changed
        asked = {key: self._ask(key, count_wanted(self._pool(key))) for key in changed}
        told = self._placement.assigned
        obeyed = self._changed is not None and all(
            is_same_claim(self._demands.get(key, ()), demands, told) for key, demands in asked.items()
        )
        self._demands = asked if self._changed is None else {**self._demands, **asked}
        self._changed = set()
        if not obeyed:
            self._placement = _solve(snapshot, self._demands)

    def _ask(self, key: Key, wanted: int) -> tuple[Demand, ...]:
        pool = self._pool(key)
        try:
            return find_demands(pool, wanted, self._pods.get(f"{key.namespace}/{key.name}", ()))
        except ValueError:
            # A status that somebody else has written must not hold up all other pools.
            return ()


def _solve(snapshot: Snapshot, by_pool: Mapping[Key, tuple[Demand, ...]]) -> Placement:
    demands = [demand for of_pool in by_pool.values() for demand in of_pool]
    quotas = free_quotas(snapshot.quotas, snapshot.pods, demands)
    return place(snapshot.nodes or (), find_holdings(snapshot.pods, demands), demands, quotas)
