"""What the benchmark of scale asks for: bare Jobs, pools and runs; all of one shape, as many as one likes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import aiohttp
from ground import Ground

from toolorch_api.meta import API_VERSION

SHARDS = 10
REPLICAS = 8
SERVED = "bench"
RUNS_PER_NAMESPACE = 50
"""With half as many pools: a list by labels costs the API server what is in a namespace, and teams have their own."""
JOBS = "/apis/batch/v1/jobs"
PODS = "/api/v1/pods"
RUNS = f"/apis/{API_VERSION}/evalruns"
POOLS = f"/apis/{API_VERSION}/modelpools"
LINE_BYTES = 2**21
"""More than any object: a watch has one on each line."""
CREATES_AT_ONCE = 20

Manifest = dict[str, Any]


def namespaces_of(runs: int) -> list[str]:
    """Return the namespaces in which so many runs, or bare Jobs, and their pools live."""
    return [f"team-{number}" for number in range(-(-runs // RUNS_PER_NAMESPACE))]


def within(path: str, namespace: str) -> str:
    """Return the path of a namespace's part of all objects at a path."""
    parent, _, plural = path.rpartition("/")
    return f"{parent}/namespaces/{namespace}/{plural}"


def build_job(number: int) -> Manifest:
    """Return a bare Indexed Job of as many pods as a run has shards."""
    container = {
        "name": "bare",
        "image": "none",
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"bare-{number}"},
        "spec": {
            "completionMode": "Indexed",
            "completions": SHARDS,
            "parallelism": SHARDS,
            "backoffLimit": 3,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def build_pool(number: int) -> Manifest:
    """Return a pool whose replicas take one GPU each."""
    resources = {"gpuResource": "nvidia.com/gpu", "cpu": "100m", "memory": "256Mi", "sharedMemory": "64Mi"}
    spec = {
        "engine": "vllm",
        "model": "none/none",
        "servedModelName": SERVED,
        "image": "none",
        "replicas": REPLICAS,
        "resources": resources,
    }
    return {"apiVersion": API_VERSION, "kind": "ModelPool", "metadata": {"name": f"pool-{number}"}, "spec": spec}


def build_run(number: int, pools: int, namespaces: int, output: str) -> Manifest:
    """Return a run that uses two of its namespace's pools, other runs other ones."""
    half = pools // namespaces // 2 * namespaces
    spec = {
        "benchmark": {"name": "tau2", "domains": ["retail"], "numTasks": 2 * SHARDS},
        "roles": {
            "agent": {"pool": f"pool-{number % pools}"},
            "user": {"pool": f"pool-{(number + half) % pools}"},
        },
        "shards": SHARDS,
        "output": {"uri": output},
    }
    return {"apiVersion": API_VERSION, "kind": "EvalRun", "metadata": {"name": f"run-{number}"}, "spec": spec}


def has(manifest: Manifest, condition: str) -> bool:
    """Tell whether a condition of an object is True."""
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return any(c["type"] == condition and c["status"] == "True" for c in conditions)


async def watch(ground: Ground, path: str, **query: str) -> AsyncIterator[tuple[str, Manifest]]:
    """Yield type and object of what happens to objects at a path, for ever; what may have been missed comes anew."""
    endless = aiohttp.ClientTimeout(total=None)
    while True:
        listed = await ground.get(path, **query)
        for item in listed["items"]:
            yield "ADDED", item
        asked = {**query, "watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"]}
        # The API server drops a watcher that does not keep up.
        with contextlib.suppress(aiohttp.ClientError):
            async with ground.session.get(path, params=asked, timeout=endless, read_bufsize=LINE_BYTES) as answer:
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        break
                    yield event["type"], event["object"]


class Feeder:
    """Makes objects one after another, at most `most` of them unfinished at a time, and says when all are finished."""

    def __init__(
        self, ground: Ground, path: str, namespaces: Sequence[str], most: int, is_over: Callable[[Manifest], bool]
    ) -> None:
        self._ground, self._path, self._namespaces, self._is_over = ground, path, namespaces, is_over
        self._room = asyncio.Semaphore(most)
        self._creating = asyncio.Semaphore(CREATES_AT_ONCE)
        self._open: set[str] = set()
        self._over: set[str] = set()
        self.seconds = 0.0

    async def feed(
        self, count: int, build: Callable[[int], Manifest], on_made: Callable[[Manifest], None] = lambda made: None
    ) -> float:
        """Make so many objects; return the seconds from the first to the end of the last."""
        follower = asyncio.create_task(self._follow())
        await asyncio.sleep(0.5)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await self._room.acquire()
                if follower.done():
                    follower.result()
                place = within(self._path, self._namespaces[number % len(self._namespaces)])
                group.create_task(self._make(place, build(number), on_made))
        while len(self._over) < count:
            if follower.done():
                follower.result()
            for program in self._ground.programs.values():
                program.check()
            await asyncio.sleep(0.05)
        seconds = time.monotonic() - began
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
        return seconds

    async def _make(self, path: str, manifest: Manifest, on_made: Callable[[Manifest], None]) -> None:
        async with self._creating:
            on_made(await self._ground.create(path, manifest))

    async def _follow(self) -> None:
        async for _, found in watch(self._ground, self._path):
            name = found["metadata"]["name"]
            if name not in self._over and self._is_over(found):
                self._over.add(name)
                self._room.release()
