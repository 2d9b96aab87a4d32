"""One listing of the cluster, parsed: pools, runs that use them, nodes, pods, quotas. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pydantic

from toolorch_api import evalrun
from toolorch_api.conditions import RunCondition
from toolorch_api.modelpool import KIND, ModelPool
from toolorch_api.roles import Roles
from toolorch_operator.modelpool.claims.occupancy import Occupant
from toolorch_operator.modelpool.observed import RunUse
from toolorch_operator.owner import Key
from toolorch_operator.placement.views import NodeView, Quota
from toolorch_operator.raw import is_raw_true

_ENDS = (RunCondition.COMPLETE, RunCondition.FAILED)


@dataclass(frozen=True, slots=True)
class PoolUse:
    """Which pools a run uses."""

    run: RunUse
    pools: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One listing that was begun at `started`."""

    started: datetime
    pools: Mapping[Key, ModelPool] = field(default_factory=dict)
    runs: Mapping[Key, PoolUse] = field(default_factory=dict)
    """Those under way."""
    nodes: tuple[NodeView, ...] | None = None
    """None: nodes or pods may not be listed."""
    pods: tuple[Occupant, ...] = ()
    quotas: tuple[Quota, ...] = ()


def pool_key(pool: ModelPool) -> Key:
    """Return the key of a pool."""
    return Key(KIND, pool.metadata.namespace, pool.metadata.name)


def parse_claimant(manifest: Mapping[str, Any]) -> ModelPool | None:
    """Return a listed pool; None for one that claims nothing."""
    # One that breaks the rules of this version is refused where it is reconciled.
    try:
        return ModelPool.parse_stored(manifest)
    except pydantic.ValidationError:
        return None


def parse_use(run: Mapping[str, Any]) -> tuple[Key, PoolUse] | None:
    """Return a run's key and the pools that it uses; None where it uses none, since it has ended, rests or goes."""
    names = used_pools(run)
    if not names:
        return None
    meta = run["metadata"]
    use = RunUse(meta["name"], datetime.fromisoformat(meta["creationTimestamp"]))
    keys = tuple(Key(KIND, meta["namespace"], name) for name in names)
    return Key(evalrun.KIND, meta["namespace"], meta["name"]), PoolUse(use, keys)


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
