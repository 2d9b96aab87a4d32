"""The operator's entry: reads the environment, starts queue, watch and probes, and ends in order."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import httpx

from toolorch_operator import programs
from toolorch_operator.bounded import open_client
from toolorch_operator.cluster import Cluster, connect
from toolorch_operator.elector import Alone, Elector
from toolorch_operator.lifecycle import Operator
from toolorch_operator.logs import configure_logs
from toolorch_operator.metrics import Metrics
from toolorch_operator.prober import Prober
from toolorch_operator.settings import Settings, SettingsError, parse_settings
from toolorch_operator.tunnel import TunnelTransport
from toolorch_operator.wiring import build_world
from toolorch_operator.workqueue import WorkQueue

# The API server stores JSON of 10,000 levels from anybody, in an object's managed fields too. Parsing takes a call for
# each, kopf's copy of it two; one object must not end the watch over all others. In C that is less than 8 MiB of stack.
DEEPEST_CALLS = 25_000


def main(tune: Callable[[Settings], Settings] = lambda settings: settings) -> None:
    """Run the operator until SIGTERM; exit code 2: the environment cannot work, 1: a part died, or the lease went.

    `tune` returns the settings to run with, for who needs what no environment may say: a resync each three seconds.
    """
    try:
        settings = tune(parse_settings(os.environ, programs.sources()))
    except SettingsError as error:
        sys.stderr.write(f"toolorch-operator: {error}\n")
        sys.exit(2)
    configure_logs(settings.log_level)
    sys.setrecursionlimit(DEEPEST_CALLS)
    sys.exit(asyncio.run(_run(settings)))


async def _run(settings: Settings) -> int:
    metrics = Metrics()
    configuration = await connect(settings.kubeconfig, in_cluster=settings.in_cluster)
    # The lease has connections of its own: requests that hang must not keep it waiting.
    leases = Cluster(configuration, metrics)
    elector = _build_elector(settings, leases, metrics)
    cluster = Cluster(configuration, metrics, elector.check)
    try:
        # Model servers are reached as they are: a proxy for the world outside knows no pod.
        async with (
            open_client() as client,
            httpx.AsyncClient(transport=TunnelTransport(cluster)) as tunnel,
        ):
            # Retries spread by a fifth, so that what failed together does not come back together.
            queue = WorkQueue(time.monotonic, lambda: random.uniform(0.8, 1.2), settings.resync_seconds)
            prober = Prober(
                client,
                None if settings.in_cluster else tunnel,
                time.monotonic,
                queue.add,
                stall_seconds=settings.defaults.stall_seconds,
            )
            world = build_world(
                cluster,
                settings.defaults,
                metrics,
                _now,
                lambda: uuid.uuid4().hex,
                prober,
                settings.watch_namespace,
                queue.add,
                elector.check,
            )
            try:
                return await Operator(settings, world, queue, elector).run()
            finally:
                await prober.close()
    finally:
        await cluster.close()
        await leases.close()


def _build_elector(settings: Settings, leases: Cluster, metrics: Metrics) -> Elector | Alone:
    if not settings.leader_election:
        return Alone(metrics)
    # In a pod, that pod: its container starts again under the same name, and goes on with its own lease at once.
    identity = settings.identity or f"{socket.gethostname()}_{uuid.uuid4()}"
    return Elector(leases, settings.namespace, settings.lease_name, identity, _uptime, metrics)


def _uptime() -> float:
    # Goes on while the machine sleeps, as the lease does; where there is no such clock, the usual one.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


if __name__ == "__main__":
    main()
