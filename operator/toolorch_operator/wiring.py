"""Puts the rooms together: which brain sees what through which edge. EDGE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx

from toolorch_api import evalrun, modelpool
from toolorch_api.evalrun import EvalRun
from toolorch_api.modelpool import ModelPool
from toolorch_operator.cluster import Cluster
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.plan import plan as plan_run
from toolorch_operator.facts import Facts
from toolorch_operator.metrics import Metrics
from toolorch_operator.modelpool.plan import plan as plan_pool
from toolorch_operator.observe import PoolObserver, RunObserver
from toolorch_operator.reconcile import Brain, World
from toolorch_operator.storage import Storage


def build_world(
    cluster: Cluster,
    client: httpx.AsyncClient,
    tunnel: httpx.AsyncClient | None,
    defaults: Defaults,
    metrics: Metrics,
    clock: Callable[[], datetime],
    token: Callable[[], str],
) -> World:
    """Return the world of a real operator; `tunnel` is None where it can reach pods by itself."""
    runs = RunObserver(cluster, Storage(metrics), Facts(token), defaults)
    brains: Mapping[str, Brain[Any, Any]] = {
        modelpool.KIND: Brain(ModelPool.model_validate, PoolObserver(cluster, client, tunnel).observe, plan_pool),
        evalrun.KIND: Brain(EvalRun.model_validate, runs.observe, plan_run),
    }
    return World(cluster, brains, defaults, clock, metrics)
