#!/usr/bin/env python3
"""Measures how late a run ends for the order and the sharing of its work; needs no cluster.

usage: bench_scheduling.py [RUNS]   default 200

The evaluator's own queue and runner over simulated time (simulation.py), beside three simple policies that know
everything at once and for free. Makespan over the lower bound max(longest unit, total work / total speed); unit times
log-normal with sigma 1 and a median of a minute, estimates whose logarithm correlates 0.5 with the truth's.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import random
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from statistics import median

import structlog
from simulation import Bucket, Fleet, build_manifest, run_simulated

SHARDS, SLOTS, UNITS = 8, 8, 1112
MEDIAN_SECONDS, SIGMA, CORRELATION = 60.0, 1.0, 0.5
SLOW = 0.5


@dataclass(frozen=True)
class Case:
    """One drawn run."""

    seconds: Sequence[float]
    estimates: Sequence[float]
    speeds: Sequence[float]

    @property
    def bound(self) -> float:
        """No order of work ends earlier."""
        return max(max(self.seconds), sum(self.seconds) / (SLOTS * sum(self.speeds)))

    @property
    def by_length(self) -> list[int]:
        """Units, the longest expected first."""
        return sorted(range(UNITS), key=lambda unit: -self.estimates[unit])


def draw(seed: int, slow: int) -> Case:
    """Draw a run with so many shards at half speed."""
    rng = random.Random(seed)
    pairs = [(rng.gauss(0, SIGMA), rng.gauss(0, SIGMA)) for _ in range(UNITS)]
    other = math.sqrt(1 - CORRELATION**2)
    return Case(
        [MEDIAN_SECONDS * math.exp(truth) for truth, _ in pairs],
        [math.exp(CORRELATION * truth + other * noise) for truth, noise in pairs],
        [SLOW] * slow + [1.0] * (SHARDS - slow),
    )


def makespan(case: Case, take: Callable[[int], int | None]) -> float:
    """Return when the last unit ends if every free slot takes what `take(shard)` says."""
    slots = [(0.0, slot, slot % SHARDS) for slot in range(SHARDS * SLOTS)]
    end = 0.0
    while slots:
        now, slot, shard = heapq.heappop(slots)
        unit = take(shard)
        if unit is not None:
            ends = now + case.seconds[unit] / case.speeds[shard]
            end = max(end, ends)
            heapq.heappush(slots, (ends, slot, shard))
    return end


def simple(case: Case) -> tuple[float, float, float]:
    """Makespans of a static split, of one queue in the manifest's order, and of one queue with the longest first."""
    dealt = [list(range(UNITS))[shard::SHARDS][::-1] for shard in range(SHARDS)]
    queue, longest = list(range(UNITS))[::-1], case.by_length[::-1]
    return (
        makespan(case, lambda shard: dealt[shard].pop() if dealt[shard] else None),
        makespan(case, lambda _: queue.pop() if queue else None),
        makespan(case, lambda _: longest.pop() if longest else None),
    )


def shared(case: Case, seed: int) -> tuple[float, int]:
    """Return makespan and requests for claims of the evaluator's own code."""
    manifest, order = build_manifest(case.estimates, UNITS), case.by_length
    seconds = {manifest.unit(index): case.seconds[index] for index in range(UNITS)}
    assigned = [order[shard::SHARDS] for shard in range(SHARDS)]
    fleet = Fleet(Bucket(random.Random(seed)), manifest, seconds, assigned, SLOTS, case.speeds)

    async def attempt() -> None:
        await asyncio.gather(*(fleet.start(shard) for shard in range(SHARDS)))

    run_simulated(attempt())
    if fleet.began.total() != UNITS or fleet.counted != UNITS:
        sys.exit(f"seed {seed}: {fleet.began.total()} units begun, {fleet.counted} counted")
    return fleet.ended_at, fleet.bucket.requests["claim"]


def measure(seed: int, slow: int) -> tuple[float, ...]:
    """Return the four ratios of one run, and its requests for claims."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    case = draw(seed, slow)
    end, requests = shared(case, seed)
    return (*(one / case.bound for one in (*simple(case), end)), requests)


def main(count: int) -> None:
    """Print the table of docs/performance.md."""
    print("| slow shards | static split | one queue | longest first, ideal | this evaluator | claim requests |")
    print("|---|---|---|---|---|---|")
    with ProcessPoolExecutor() as pool:
        for slow in (0, 2):
            runs = list(pool.map(partial(measure, slow=slow), range(count), chunksize=5))
            *ratios, requests = (median(values) for values in zip(*runs, strict=True))
            print(f"| {slow} | {' | '.join(f'{r:.3f}' for r in ratios)} | {requests:.0f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
