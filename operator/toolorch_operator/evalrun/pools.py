"""Whether a run's pools are ready, in words with numbers. PURE."""

from __future__ import annotations

from toolorch_api.conditions import RunReason
from toolorch_api.evalrun import EvalRun
from toolorch_operator.evalrun.observed import ObservedRun, PoolView
from toolorch_operator.evalrun.step import Says


def say_pools(run: EvalRun, observed: ObservedRun) -> Says:
    """Return what the condition PoolsReady says: all of the run's pools, or those that it waits for."""
    names = run.spec.roles.pools()
    waits = [_describe(name, observed.pools.get(name)) for name in names]
    missing = [text for text in waits if text]
    if missing:
        return Says(False, RunReason.WAITING_FOR_POOLS, "; ".join(missing))
    return Says(True, RunReason.POOLS_READY, f"{len(names)} of {len(names)} pools ready")


def all_pools_exist(run: EvalRun, observed: ObservedRun) -> bool:
    """Whether each role's pool is there, ready or not."""
    return all(name in observed.pools for name in run.spec.roles.pools())


def _describe(name: str, pool: PoolView | None) -> str:
    if pool is None:
        return f"ModelPool {name} does not exist"
    if pool.ready:
        return ""
    count = "external, not ready" if pool.external else f"{pool.ready_replicas}/{pool.wanted_replicas} ready"
    return f"{name} {count}" + (f", {pool.reason}" if pool.reason else "")
