#!/usr/bin/env python3
"""Measures how the operator grows: runs and pools by the thousand, on a real API server whose nodes kwok plays.

usage: bench_scale.py [RUNS …]     default 10 100 1000; half as many pools of 8 replicas, a node for five runs
Each size begins with its floor: as many bare Indexed Jobs of as many pods, on a control plane of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The ground is the fault tests' own.
sys.path[:0] = [str(ROOT / "hack" / "scale"), str(ROOT / "tests" / "faults" / "support")]

from chart import draw
from measured import Counters, MeasuredOperator
from pretender import Pretender, serve_models
from workload import JOBS, POOLS, REPLICAS, RUNS, Feeder, build_job, build_pool, build_run, has, namespaces_of
from world import Ground, raise_world

ACTIVE = 200
"""Runs, and bare Jobs, that are unfinished at a time at most."""
QUIET_SECONDS = float(os.environ.get("QUIET_SECONDS", "60"))
SETTLE_SECONDS = 15.0
"""From the last report until it is quiet: what was put off by a few seconds is done by then."""
PROFILE = tuple(os.environ.get("OPERATOR_PREFIX", "").split())
"""Words before the operator's command, such as a profiler's."""


@dataclass(frozen=True)
class Figures:
    """What one size measured; seconds, MiB, requests."""

    runs: int
    pools: int
    floor_seconds: float
    pools_seconds: float
    runs_seconds: float
    ratio: float
    peak_mib: float
    peak_pools_mib: float
    cpu_pools: float
    cpu_runs: float
    p99_run: float
    p99_pool: float
    requests_per_pool: float
    requests_per_run: float
    writes_per_run: float
    quiet_requests: float
    quiet_writes: float
    quiet_cpu: float
    attempts: int
    load: float


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%T')}  {text}  (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)


def size_of(runs: int) -> tuple[int, int, int]:
    """Return pools, nodes, and GPUs per node: all replicas fit, and fill the nodes."""
    pools, nodes = max(2, runs // 2), max(1, runs // 5)
    return pools, nodes, -(-pools * REPLICAS // nodes)


async def measure_floor(runs: int) -> float:
    """Return the seconds that as many bare Jobs take."""
    _, nodes, gpus = size_of(runs)
    names = namespaces_of(runs)
    async with raise_world(nodes, gpus, names) as ground:
        return await Feeder(ground, JOBS, names, ACTIVE, lambda job: has(job, "Complete")).feed(runs, build_job)


async def measure(runs: int, floor: float, folder: Path) -> Figures:
    """Measure the operator at one size."""
    pools, nodes, gpus = size_of(runs)
    pretender, names = Pretender(folder), namespaces_of(runs)
    async with contextlib.AsyncExitStack() as stack:
        ground = await stack.enter_async_context(raise_world(nodes, gpus, names))
        models = await serve_models()
        stack.push_async_callback(models.cleanup)
        leaving = asyncio.create_task(pretender.follow(ground))
        stack.callback(leaving.cancel)
        operator = MeasuredOperator(ground, pretender.output, PROFILE)
        stack.callback(operator.kill)
        stack.callback(keep_log, operator, runs)
        await operator.ready()
        begun = await operator.counters()
        pools_seconds = await Feeder(ground, POOLS, names, pools, lambda pool: has(pool, "Ready")).feed(
            pools, build_pool
        )
        peak_pools, cpu_pools, ready = operator.memory_mib(), operator.cpu_seconds(), await operator.counters()
        say(f"{pools} pools ready after {pools_seconds:.0f} s, {peak_pools:.0f} MiB, {cpu_pools:.1f} s of CPU")
        feeder = Feeder(ground, RUNS, names, ACTIVE, lambda run: has(run, "Complete") or has(run, "Failed"))
        runs_seconds = await feeder.feed(
            runs, lambda n: build_run(n, pools, len(names), pretender.output), pretender.take
        )
        cpu_runs = operator.cpu_seconds() - cpu_pools
        say(f"{runs} runs over after {runs_seconds:.0f} s, {operator.memory_mib():.0f} MiB, {cpu_runs:.1f} s of CPU")
        statuses = await reported(ground)
        await asyncio.sleep(SETTLE_SECONDS)
        tell_shares("pool", pools, begun, ready)
        before, cpu = await operator.counters(), operator.cpu_seconds()
        tell_shares("run", runs, ready, before)
        if leaving.done():
            leaving.result()
        await asyncio.sleep(QUIET_SECONDS)
        after = await operator.counters()
        operator.check()
        quiet = {key: n - before.requests().get(key, 0) for key, n in after.requests().items()}
        say(f"quiet: {json.dumps({key: n for key, n in quiet.items() if n})}")
        return Figures(
            runs,
            pools,
            floor,
            pools_seconds,
            runs_seconds,
            runs_seconds / floor,
            operator.memory_mib(),
            peak_pools,
            cpu_pools,
            cpu_runs,
            after.percentile("EvalRun", 0.99),
            after.percentile("ModelPool", 0.99),
            (sum(ready.requests().values()) - sum(begun.requests().values())) / pools,
            (sum(before.requests().values()) - sum(ready.requests().values())) / runs,
            (before.writes() - ready.writes()) / runs,
            sum(quiet.values()) / QUIET_SECONDS,
            after.writes() - before.writes(),
            (operator.cpu_seconds() - cpu) / QUIET_SECONDS,
            sum(status.get("attempt", 0) for status in statuses),
            os.getloadavg()[0],
        )


def tell_shares(what: str, count: int, before: Counters, after: Counters) -> None:
    """Tell what each of so many objects asked of the API server."""
    shares = {key: (n - before.requests().get(key, 0)) / count for key, n in after.requests().items()}
    say(f"each {what}: " + ", ".join(f"{n:.1f} {key}" for key, n in sorted(shares.items(), key=lambda s: -s[1]) if n))


async def reported(ground: Ground) -> list[dict[str, int]]:
    """Wait until every run has its report; return their statuses, or end where one is not Complete."""
    while True:
        found = (await ground.get(RUNS))["items"]
        failed = [run["metadata"]["name"] for run in found if has(run, "Failed")]
        if failed:
            raise SystemExit(f"{len(failed)} runs failed: {failed[:5]}")
        if all(has(run, "ReportReady") for run in found):
            return [run["status"] for run in found]
        await asyncio.sleep(2)


def keep_log(operator: MeasuredOperator, runs: int) -> None:
    """Keep what the operator said, for whoever wants to know more."""
    kept = Path(tempfile.gettempdir()) / f"bench-scale-{runs}.log"
    kept.write_bytes(operator.log.read_bytes())


def main(sizes: list[int]) -> None:
    """Measure all sizes; print the table and write figures and chart."""
    measured: list[Figures] = []
    for runs in sizes:
        floor = asyncio.run(measure_floor(runs))
        say(f"floor of {runs}: {floor:.1f} s")
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            measured.append(asyncio.run(measure(runs, floor, Path(folder))))
        print(json.dumps(asdict(measured[-1])), flush=True)
    draw([asdict(figures) for figures in measured], ROOT / "docs" / "scale.png")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [10, 100, 1000])
