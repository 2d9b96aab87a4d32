"""The life of one operator: start workers, resync, probes and watch; on SIGTERM let running reconciles end. EDGE."""

from __future__ import annotations

import asyncio
import random
import signal

import structlog
from aiohttp import web

from toolorch_operator.errors import EdgeError
from toolorch_operator.handlers import build_registry, run_watch
from toolorch_operator.owner import Key
from toolorch_operator.reconcile import World, reconcile
from toolorch_operator.resources import OWNERS
from toolorch_operator.server import serve
from toolorch_operator.settings import Settings
from toolorch_operator.watch import Watch
from toolorch_operator.workqueue import WORKERS, WorkQueue, run_worker

DRAIN_SECONDS = 12.0
"""Seconds for reconciles that run when the end comes; kopf needs up to 6 more, and 20 is the whole of it."""
SPREAD_SECONDS = 10.0
"""Seconds over which a resync spreads its keys at most, so that it is no load on the API server."""
KEYS_PER_SECOND = 20
"""So many keys are no load; few pools that are looked at together share one listing of the cluster."""
KINDS_SECONDS = 2.0
"""Seconds between looks for the two kinds at the start."""
KOPF_SETUP_SECONDS = 0.1
"""kopf sets its own signal handlers just after its startup handlers began, and would stop in mid-reconcile."""

log = structlog.get_logger("operator")


class Operator:
    """One operator that runs once."""

    def __init__(self, settings: Settings, world: World, queue: WorkQueue) -> None:
        self._settings = settings
        self._world = world
        self._queue = queue
        self._stop = asyncio.Event()
        self._watching = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        """Port of the probes, once it runs."""

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT (0), or until a part of it dies (1)."""
        # Started before the watch: kopf ends by cancelling whatever task is younger than itself.
        workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        stopping = asyncio.create_task(self._take_signals())
        self._tasks = [*workers, asyncio.create_task(self._resync())]
        runner = await self._serve()
        await self._await_kinds()
        unwatch = asyncio.Event()
        world = self._world
        watch_events = Watch(self._queue, world.expire, world.freshness, world.echoes)
        registry = build_registry(watch_events, world.cluster.credentials, self._watching.set)
        watch = asyncio.create_task(run_watch(registry, self._settings.watch_namespace, unwatch))
        ended, _ = await asyncio.wait([stopping, watch, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in ended - {stopping}:
            log.error("a part of the operator died", error=str(task.exception() or "ended"))
        log.info("stopping")
        self._queue.close()
        await runner.cleanup()
        await _drain(workers)
        unwatch.set()
        stopping.cancel()
        self._tasks[-1].cancel()
        await asyncio.gather(watch, stopping, *self._tasks, return_exceptions=True)
        return 0 if stopping in ended else 1

    async def _take_signals(self) -> None:
        await self._watching.wait()
        await asyncio.sleep(KOPF_SETUP_SECONDS)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        log.info("started", port=self.port, namespace=self._settings.watch_namespace or "all")
        await self._stop.wait()

    async def _work(self) -> None:
        await run_worker(self._queue, lambda key: reconcile(key, self._world), self._world.metrics)

    async def _serve(self) -> web.AppRunner:
        runner, self.port = await serve(
            self._settings.http_port, self._world.metrics, self._queue, self._check_alive, self._check_ready
        )
        return runner

    def _check_alive(self) -> str:
        if self._queue.is_stuck:
            return "the queue is stuck"
        return "a part of the operator died" if any(task.done() for task in self._tasks) else ""

    def _check_ready(self) -> str:
        return "" if self._watching.is_set() else "not watching yet"

    async def _await_kinds(self) -> None:
        # kopf looks for its kinds once: it would never watch one that is installed after its start.
        while True:
            try:
                return await add_all(self._world, self._queue, self._settings.watch_namespace)
            except EdgeError as error:
                log.warning("cannot list the kinds", error=str(error), retry_after=KINDS_SECONDS)
                await asyncio.sleep(KINDS_SECONDS)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds * random.uniform(0.8, 1.2))
            try:
                await add_all(self._world, self._queue, self._settings.watch_namespace)
            except EdgeError as error:
                log.warning("resync failed", error=str(error))


async def add_all(world: World, queue: WorkQueue, namespace: str) -> None:
    """Have every object reconciled, from a fresh LIST; what was refused is tried again."""
    world.refused.clear()
    world.freshness.mark_all()
    for resource in OWNERS:
        items = await world.cluster.list(resource, namespace)
        spread = min(SPREAD_SECONDS, len(items) / KEYS_PER_SECOND)
        for item in items:
            meta = item["metadata"]
            queue.add(Key(resource.kind, meta["namespace"], meta["name"]), random.uniform(0, spread))


async def _drain(workers: list[asyncio.Task[None]]) -> None:
    _, running = await asyncio.wait(workers, timeout=DRAIN_SECONDS)
    for worker in running:
        worker.cancel()
