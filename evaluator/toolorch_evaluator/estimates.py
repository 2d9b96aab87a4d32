"""How long a unit is expected to take, from what its task took before. No I/O.

Runs differ in their models and so in their pace; within each run a task is long or short against the run's median. The
median of that over the runs is what is expected of the task. A task that no run knows goes by the benchmark's own
weights, against their median.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

from toolorch_api.shard import Durations, Result, Unit


def task_key(unit: Unit) -> str:
    """Return what trials and user variants of a task have in common."""
    return f"{unit.domain}/{unit.task_id}"


def measure_tasks(finals: Iterable[tuple[Unit, Result]]) -> Durations:
    """Return what a run's tasks took, in seconds, by their final results."""
    took: dict[str, list[float]] = defaultdict(list)
    for unit, result in finals:
        took[task_key(unit)].append((result.ended_at - result.started_at).total_seconds())
    return Durations(seconds={task: round(median(every), 3) for task, every in sorted(took.items())})


def estimate_units(units: Sequence[Unit], weights: Sequence[float], past: Iterable[Durations]) -> list[float]:
    """Return the expected length of each unit, 1 being the median one; empty where nothing is known of any.

    `weights` are the benchmark's, one per unit, or none.
    """
    known = _expected_tasks(past)
    if not known and not weights:
        return []
    scale = median(weights) if weights else 0.0
    fallback = [weight / scale if scale else 1.0 for weight in weights] or [1.0] * len(units)
    return [round(known.get(task_key(unit), own), 4) for unit, own in zip(units, fallback, strict=True)]


def _expected_tasks(past: Iterable[Durations]) -> dict[str, float]:
    shares: dict[str, list[float]] = defaultdict(list)
    for run in past:
        middle = median(run.seconds.values()) if run.seconds else 0.0
        for task, seconds in run.seconds.items() if middle > 0 else ():
            shares[task].append(seconds / middle)
    return {task: median(every) for task, every in shares.items()}
