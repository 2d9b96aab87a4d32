"""pass^k: how reliably tasks pass when they are run k times. PURE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

from toolorch_api.shard import Result, Unit, UnitStatus


@dataclass(frozen=True, slots=True)
class PassHatK:
    """pass^k: the chance that k trials of a task all pass, as a mean over tasks."""

    k: int
    scored: float | None
    """Over tasks with at least k scored trials; None where no task has."""
    tasks: int
    """How many tasks those are."""
    of: int
    """Tasks with at least k scheduled trials."""
    scheduled: float
    """Over all of those, an unscored trial counting as failed."""

    @property
    def coverage(self) -> str:
        """Over which tasks it is, in words."""
        trials = "1 scored trial" if self.k == 1 else f"{self.k} scored trials"
        return f"pass^{self.k} over {self.tasks} of {self.of} tasks with at least {trials}"


def compute_powers(units: Sequence[Unit], finals: Mapping[Unit, Result]) -> list[PassHatK]:
    """Return pass^k for every k up to the most trials of a task."""
    tasks: dict[tuple[str, str, str], list[bool | None]] = defaultdict(list)
    for unit in units:
        result = finals.get(unit)
        trial = None if result is None else result.status is UnitStatus.PASSED
        tasks[unit.variant, unit.domain, unit.task_id].append(trial)
    trials = list(tasks.values())
    return [_power(k, trials) for k in range(1, max(map(len, trials), default=0) + 1)]


def _power(k: int, tasks: Sequence[Sequence[bool | None]]) -> PassHatK:
    known = [[t for t in trials if t is not None] for trials in tasks]
    scored = [_chance(k, trials) for trials in known if len(trials) >= k]
    scheduled = [_chance(k, [bool(t) for t in trials]) for trials in tasks if len(trials) >= k]
    return PassHatK(k, _mean(scored), len(scored), len(scheduled), _mean(scheduled) or 0.0)


def _chance(k: int, trials: Sequence[bool]) -> float:
    """C(c, k) / C(n, k): the unbiased estimate for one task with c passes in n trials (τ-bench's definition)."""
    return comb(sum(trials), k) / comb(len(trials), k)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
