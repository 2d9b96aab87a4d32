"""Puts the rooms together: which brain sees what through which edge. EDGE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from toolorch_api import evalrun, modelpool
from toolorch_api.evalrun import EvalRun
from toolorch_api.modelpool import ModelPool
from toolorch_operator.cluster import Cluster
from toolorch_operator.defaults import Defaults
from toolorch_operator.echoes import Echoes
from toolorch_operator.evalrun.plan import plan as plan_run
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.inventory import Inventory
from toolorch_operator.metrics import Metrics
from toolorch_operator.modelpool.plan import plan as plan_pool
from toolorch_operator.owner import Key
from toolorch_operator.pool_observer import PoolObserver
from toolorch_operator.prober import Prober
from toolorch_operator.reconcile import Brain, World
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.storage import Storage


def build_world(
    cluster: Cluster,
    defaults: Defaults,
    metrics: Metrics,
    clock: Callable[[], datetime],
    token: Callable[[], str],
    prober: Prober,
    namespace: str = "",
    wake: Callable[[Key], None] = lambda key: None,
    check: Callable[[], None] = lambda: None,
) -> World:
    """Return the world of a real operator; `namespace` is the only one that is watched, empty: all are.

    `wake` is called for an object that somebody else wrote while it was being written here. `check` is asked before
    each write to storage, as the cluster asks before its own, and raises where it must not be done.
    """
    inventory = Inventory(cluster, clock, namespace)
    freshness = Freshness()
    pools = PoolObserver(cluster, prober, inventory, freshness)
    runs = RunObserver(cluster, Storage(metrics, check), Facts(token), defaults, freshness)
    brains: Mapping[str, Brain[Any, Any]] = {
        modelpool.KIND: Brain(ModelPool.parse_stored, pools.observe, plan_pool, inventory.note),
        evalrun.KIND: Brain(EvalRun.parse_stored, runs.observe, plan_run),
    }

    def wake_afresh(key: Key) -> None:
        freshness.mark(key)
        wake(key)

    return World(
        cluster,
        brains,
        defaults,
        clock,
        metrics,
        expire=inventory.expire,
        expire_run=inventory.expire_run,
        forget=prober.forget,
        freshness=freshness,
        echoes=Echoes(wake_afresh),
    )
