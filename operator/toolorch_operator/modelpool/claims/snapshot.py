"""One listing of the cluster, parsed: pools, runs that use them, nodes, pods, quotas. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pydantic

from toolorch_api.conditions import RunCondition
from toolorch_api.modelpool import KIND, ModelPool
from toolorch_api.roles import Roles
from toolorch_operator.modelpool.claims.occupancy import Occupant, parse_occupant
from toolorch_operator.modelpool.observed import RunUse
from toolorch_operator.owner import Key
from toolorch_operator.placement.parse import parse_node, parse_quotas
from toolorch_operator.placement.views import NodeView, Quota
from toolorch_operator.raw import is_raw_true

Objects = Iterable[Mapping[str, Any]]
_ENDS = (RunCondition.COMPLETE, RunCondition.FAILED)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One listing that was begun at `started`."""

    started: datetime
    pools: Mapping[Key, ModelPool] = field(default_factory=dict)
    uses: Mapping[Key, tuple[RunUse, ...]] = field(default_factory=dict)
    """By the pool that is used."""
    nodes: tuple[NodeView, ...] | None = None
    """None: nodes or pods may not be listed."""
    pods: tuple[Occupant, ...] = ()
    quotas: tuple[Quota, ...] = ()


def parse_snapshot(
    started: datetime,
    now: datetime,
    pools: Objects,
    runs: Objects,
    room: tuple[Objects | None, Objects | None, Objects | None],
) -> Snapshot:
    """Return a listing's raw objects as views; `room` is nodes, pods and quotas, None for what may not be listed."""
    nodes, pods, quotas = room
    known = {pool_key(pool): pool for pool in _parse_pools(pools)}
    uses = _find_uses(runs)
    if nodes is None or pods is None:
        return Snapshot(started, known, uses)
    return Snapshot(
        started,
        known,
        uses,
        tuple(parse_node(node, now) for node in nodes),
        tuple(parse_occupant(pod) for pod in pods),
        tuple(quota for raw in quotas or () for quota in parse_quotas(raw)),
    )


def pool_key(pool: ModelPool) -> Key:
    """Return the key of a pool."""
    return Key(KIND, pool.metadata.namespace, pool.metadata.name)


def _parse_pools(manifests: Objects) -> Iterator[ModelPool]:
    for manifest in manifests:
        # One that breaks the rules of this version is refused where it is reconciled; here it claims nothing.
        try:
            yield ModelPool.parse_stored(manifest)
        except pydantic.ValidationError:
            continue


def _find_uses(runs: Objects) -> dict[Key, tuple[RunUse, ...]]:
    uses: dict[Key, tuple[RunUse, ...]] = {}
    for run in runs:
        meta = run["metadata"]
        use = RunUse(meta["name"], datetime.fromisoformat(meta["creationTimestamp"]))
        for name in used_pools(run):
            key = Key(KIND, meta["namespace"], name)
            uses[key] = (*uses.get(key, ()), use)
    return uses


def used_pools(run: Mapping[str, Any]) -> list[str]:
    """Return the pools that a run's roles name; none where it has ended, rests or goes."""
    spec = run.get("spec") or {}
    is_over = any(is_raw_true(run.get("status"), end) for end in _ENDS)
    if is_over or spec.get("suspend") or run["metadata"].get("deletionTimestamp"):
        return []
    try:
        return Roles.parse_stored(spec.get("roles") or {}).pools()
    except pydantic.ValidationError:
        return []
