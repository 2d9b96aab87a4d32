"""The life of one operator: wait to lead, start workers, resync and watch; on SIGTERM let running reconciles end. EDGE.

One that loses the lease ends its process at once: whatever it remembers may be wrong by the time that it leads again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from aiohttp import web

from toolorch_operator.elector import Alone, Elector
from toolorch_operator.errors import EdgeError
from toolorch_operator.handlers import build_registry, run_watch
from toolorch_operator.reconcile import World, reconcile
from toolorch_operator.resync import Resync
from toolorch_operator.server import serve
from toolorch_operator.settings import Settings
from toolorch_operator.watch import Watch
from toolorch_operator.workqueue import WORKERS, WorkQueue, run_worker

DRAIN_SECONDS = 12.0
"""Seconds for reconciles that run when the end comes; kopf needs up to 6 more, and 20 is the whole of it."""
KINDS_SECONDS = 2.0
"""Seconds between looks for the two kinds at the start."""

log = structlog.get_logger("operator")


class Watching(Protocol):
    """How a leader watches."""

    async def __call__(self, events: Watch, on_ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Watch until `stop` is set, and call `on_ready` once that has begun; raise where a watcher dies."""


class Operator:
    """One operator that runs once; `abort` ends the process on the spot, with an exit code."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        queue: WorkQueue,
        elector: Elector | Alone,
        watching: Watching | None = None,
        abort: Callable[[int], None] = os._exit,
    ) -> None:
        self._settings = settings
        self._world = world
        self._queue = queue
        self._resync = Resync(world, queue, settings.watch_namespace)
        self._elector = elector
        self._watch_events = watching or self._watch_cluster
        self._abort = abort
        self._stop = asyncio.Event()
        self._watching = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        """Port of the probes, once it runs."""

    def stop(self) -> None:
        """Have it end in order."""
        self._stop.set()

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT (0), or until a part of it dies or another may lead (1)."""
        runner = await self._serve()
        try:
            return await self._run()
        finally:
            await runner.cleanup()

    async def _run(self) -> int:
        self._take_signals()
        stopping = asyncio.create_task(self._stop.wait())
        campaign = asyncio.create_task(self._elector.acquire())
        await asyncio.wait([stopping, campaign], return_when=asyncio.FIRST_COMPLETED)
        if not campaign.done():
            campaign.cancel()
            await asyncio.gather(campaign, return_exceptions=True)
            await self._elector.release()
            return 0
        await campaign
        return await self._lead(stopping)

    async def _lead(self, stopping: asyncio.Task[Any]) -> int:
        # Started before the watch: kopf ends by cancelling whatever task is younger than itself.
        hold = asyncio.create_task(self._elector.hold())
        workers = [asyncio.create_task(self._work()) for _ in range(WORKERS)]
        self._tasks = [*workers, asyncio.create_task(self._resync_often())]
        unwatch = asyncio.Event()
        watch = asyncio.create_task(self._watch(unwatch))
        ended, _ = await asyncio.wait([stopping, hold, watch, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        if hold in ended:
            self._abort(1)
            return 1
        for task in ended - {stopping}:
            log.error("a part of the operator died", error=str(task.exception() or "ended"))
        log.info("stopping")
        self._queue.close()
        await self._step_down(hold, is_idle=await _drain(workers))
        unwatch.set()
        self._tasks[-1].cancel()
        await asyncio.gather(watch, stopping, *self._tasks, return_exceptions=True)
        return 0 if stopping in ended else 1

    async def _step_down(self, hold: asyncio.Task[None], *, is_idle: bool) -> None:
        hold.cancel()
        await asyncio.gather(hold, return_exceptions=True)
        # What was broken off may still arrive: the lease then ends by itself, and nobody leads before.
        if is_idle:
            await self._elector.release()

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)

    async def _watch(self, unwatch: asyncio.Event) -> None:
        await self._await_kinds()
        world = self._world
        events = Watch(self._queue, world.expire, world.expire_run, world.freshness, world.echoes)
        await self._watch_events(events, self._has_begun, unwatch)

    async def _watch_cluster(self, events: Watch, on_ready: Callable[[], None], stop: asyncio.Event) -> None:
        registry = build_registry(events, self._world.cluster.credentials, on_ready)
        await run_watch(registry, self._settings.watch_namespace, stop, self._take_signals)

    def _has_begun(self) -> None:
        self._watching.set()
        log.info("started", port=self.port, namespace=self._settings.watch_namespace or "all")

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
        if self._tasks:
            return "" if self._watching.is_set() else "not watching yet"
        return "" if self._elector.has_looked else "has not seen the lease yet"

    async def _await_kinds(self) -> None:
        # kopf looks for its kinds once: it would never watch one that is installed after its start.
        while True:
            try:
                return await self._resync.add_changed()
            except EdgeError as error:
                log.warning("cannot list the kinds", error=str(error), retry_after=KINDS_SECONDS)
                await asyncio.sleep(KINDS_SECONDS)

    async def _resync_often(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_seconds * random.uniform(0.8, 1.2))
            try:
                await self._resync.add_changed()
            except EdgeError as error:
                log.warning("resync failed", error=str(error))


async def _drain(workers: list[asyncio.Task[None]]) -> bool:
    """Give workers time to end; tell whether all did."""
    _, running = await asyncio.wait(workers, timeout=DRAIN_SECONDS)
    for worker in running:
        worker.cancel()
    return not running
