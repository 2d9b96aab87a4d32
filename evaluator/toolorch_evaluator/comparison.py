"""Two runs side by side: the paired difference of their scores, per domain, and what a gate makes of it. PURE.

Tasks are the sample: trials and variants of a task hang together, so each task counts once, with the mean of its pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean
from typing import NamedTuple

from toolorch_api.conditions import RunReason
from toolorch_api.figures import CONFIDENCE
from toolorch_api.shard import GateOutcome, Unit

# Over four tasks even a clean sheet leaves an interval of over 90 points, wider than any drop worth a gate.
LEAST_TASKS = 5
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


class Grade(NamedTuple):
    """How a scored unit came out."""

    reward: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs."""

    name: str
    benchmark: str
    dataset_hash: str
    grades: Mapping[Unit, Grade]
    """Of the scored units, in the manifest's order."""


@dataclass(frozen=True, slots=True)
class Row:
    """Units that both runs have scored, of one group."""

    name: str
    tasks: int
    pairs: int
    """Units in both runs: a task has one per trial and variant."""
    before: float
    """Score over these units in the first run, each task counting the same."""
    after: float
    interval: tuple[float, float]
    """95 % interval of after − before."""
    lost: int
    """Units that passed before and fail now."""
    gained: int
    """Units that failed before and pass now."""

    @property
    def difference(self) -> float:
        """Return after − before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that two runs' results say about each other."""

    before: str
    after: str
    whole: Row | None
    """None where no unit is in both."""
    groups: Sequence[Row]
    """One per variant and domain, where there are several."""
    only_before: int
    """Units that only the first run has scored."""
    only_after: int
    obstacle: str
    """Why the difference means nothing; empty: it does."""


def compare(before: Side, after: Side) -> Comparison:
    """Compare two runs over the units that both have scored."""
    common = [unit for unit in after.grades if unit in before.grades]
    groups: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in common:
        groups[unit.variant, unit.domain].append(unit)
    plain = len({variant for variant, _ in groups}) == 1
    rows = [
        _row(domain if plain else f"{variant} / {domain}", units, before, after)
        for (variant, domain), units in groups.items()
    ]
    return Comparison(
        before=before.name,
        after=after.name,
        whole=_row("all", common, before, after) if common else None,
        groups=rows if len(rows) > 1 else (),
        only_before=len(before.grades) - len(common),
        only_after=len(after.grades) - len(common),
        obstacle=_find_obstacle(before, after),
    )


def paired_interval(differences: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean paired difference, each in [-1, 1]; at least one is needed.

    Bonett and Price, Statistics in Medicine 31 (2012): the adjusted Wald interval for paired proportions, which adds a
    pair that is won and one that is lost. For 0/1 it is theirs; around shares of trials it is a little wider.
    A paired t needs tasks that differ: where few do, as between two runs of one model, it is far too sure.
    """
    n = len(differences) + 2
    middle = sum(differences) / n
    spread = sqrt((sum(d * d for d in differences) + 2) / n - middle * middle)
    reach = _Z * spread / sqrt(n)
    return max(-1.0, middle - reach), min(1.0, middle + reach)


def judge(comparison: Comparison, max_drop: float) -> GateOutcome:
    """Say whether the score fell by more than `max_drop` percentage points; unknown where the interval covers both."""
    whole = comparison.whole
    if comparison.obstacle:
        return GateOutcome(reason=RunReason.BASELINE_DIFFERS, message=comparison.obstacle)
    if whole is None or whole.tasks < LEAST_TASKS:
        seen = 0 if whole is None else whole.tasks
        few = f"{seen} tasks are scored in both this run and {comparison.before}; {LEAST_TASKS} are the least"
        return GateOutcome(reason=RunReason.GATE_INCONCLUSIVE, message=few)
    low, high = (100 * end for end in whole.interval)
    message = f"{describe(comparison, whole)}; a drop of {max_drop:g} is allowed"
    if low > -max_drop:
        return GateOutcome(passed=True, reason=RunReason.GATE_HELD, message=message)
    if high < -max_drop:
        return GateOutcome(passed=False, reason=RunReason.GATE_BREACHED, message=message)
    more = f"{message}, and the interval lies on both sides of that"
    return GateOutcome(reason=RunReason.GATE_INCONCLUSIVE, message=more)


def describe(comparison: Comparison, row: Row) -> str:
    """Write the difference of a row as half a sentence with its numbers."""
    return (
        f"score {row.after:.3f} against {row.before:.3f} of {comparison.before} over {row.tasks} tasks:"
        f" {points(row.difference)} points, 95 % interval {write_interval(row)}"
    )


def points(share: float) -> str:
    """Write a difference of shares as percentage points with a sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def write_interval(row: Row) -> str:
    """Write the interval of a row in percentage points."""
    return f"{points(row.interval[0])} to {points(row.interval[1])}"


def _row(name: str, units: Sequence[Unit], before: Side, after: Side) -> Row:
    tasks: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        tasks[unit.domain, unit.task_id].append(unit)
    old = [fmean(before.grades[u].reward for u in trials) for trials in tasks.values()]
    new = [fmean(after.grades[u].reward for u in trials) for trials in tasks.values()]
    moves = [(before.grades[u].passed, after.grades[u].passed) for u in units]
    return Row(
        name=name,
        tasks=len(tasks),
        pairs=len(units),
        before=fmean(old),
        after=fmean(new),
        interval=paired_interval([b - a for a, b in zip(old, new, strict=True)]),
        lost=moves.count((True, False)),
        gained=moves.count((False, True)),
    )


def _find_obstacle(before: Side, after: Side) -> str:
    if before.benchmark != after.benchmark:
        return f"{before.name} ran {before.benchmark}, {after.name} {after.benchmark}: scores of two benchmarks"
    if before.dataset_hash != after.dataset_hash:
        hashes = f"{before.dataset_hash[:8]} and {after.dataset_hash[:8]}"
        return f"{before.name} and {after.name} ran other datasets ({hashes}): the same task id may be another task"
    return ""
