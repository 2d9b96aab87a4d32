"""What each user variant does to the score, against control, over the tasks that both have scored. PURE.

Trials of a task hang together, so tasks are the sample. With one trial per task the test is McNemar's exact one over
tasks that passed under one of the two alone; with several it is Wilcoxon's signed-rank test over the tasks' means.
p-values are Holm's over all variants: with four of them one in five runs would else show an effect that is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from scipy.stats import binomtest, wilcoxon

from toolorch_api.shard import Result, Unit, UnitStatus
from toolorch_evaluator.benchmarks.variants import CONTROL
from toolorch_evaluator.comparison import paired_interval

MCNEMAR, WILCOXON = "McNemar", "Wilcoxon"


@dataclass(frozen=True, slots=True)
class Effect:
    """One variant against control."""

    variant: str
    tasks: int
    """Tasks that both have scored, with at least one trial in common."""
    pairs: int
    """Trials in common."""
    control: float
    """Score over the tasks, each counting the same, like the next."""
    score: float
    interval: tuple[float, float]
    """95 % interval of the difference."""
    d: float | None
    """Cohen's d of the tasks' means: difference over the pooled deviation of both; None where there is none."""
    lost: int
    """Trials that passed under control and failed under the variant."""
    gained: int
    test: str
    p: float
    p_holm: float = 1.0

    @property
    def difference(self) -> float:
        """Score under the variant less that under control."""
        return self.score - self.control

    @property
    def odds(self) -> float | None:
        """Paired odds of passing, gained over lost; None where no trial was lost."""
        return self.gained / self.lost if self.lost else None


def measure_effects(units: Sequence[Unit], finals: Mapping[Unit, Result]) -> list[Effect]:
    """Return the effect of each variant, in the manifest's order; none without control or a task in common."""
    names = [name for name in dict.fromkeys(unit.variant for unit in units) if name != CONTROL]
    found = [_measure(name, _pair(name, units, finals)) for name in names]
    return _correct([effect for effect in found if effect is not None])


Pairs = dict[tuple[str, str], list[tuple[Result, Result]]]


def _pair(variant: str, units: Sequence[Unit], finals: Mapping[Unit, Result]) -> Pairs:
    """Return by task the results under control and under the variant, trial by trial."""
    pairs: Pairs = defaultdict(list)
    for unit in units:
        plain = replace(unit, variant=CONTROL)
        if unit.variant == variant and unit in finals and plain in finals:
            pairs[unit.domain, unit.task_id].append((finals[plain], finals[unit]))
    return pairs


def _measure(variant: str, tasks: Pairs) -> Effect | None:
    if not tasks:
        return None
    before = [fmean(control.reward or 0.0 for control, _ in pairs) for pairs in tasks.values()]
    after = [fmean(own.reward or 0.0 for _, own in pairs) for pairs in tasks.values()]
    moves = [(_passed(control), _passed(own)) for pairs in tasks.values() for control, own in pairs]
    lost, gained = moves.count((True, False)), moves.count((False, True))
    differences = [b - a for a, b in zip(before, after, strict=True)]
    test = MCNEMAR if len(moves) == len(tasks) else WILCOXON
    return Effect(
        variant=variant,
        tasks=len(tasks),
        pairs=len(moves),
        control=fmean(before),
        score=fmean(after),
        interval=paired_interval(differences),
        d=cohens_d(before, after),
        lost=lost,
        gained=gained,
        test=test,
        p=mcnemar(lost, gained) if test == MCNEMAR else signed_rank(differences),
    )


def cohens_d(before: Sequence[float], after: Sequence[float]) -> float | None:
    """Return the difference of means over the pooled standard deviation; None where nothing varies."""
    if len(before) < 2:
        return None
    pooled = ((stdev(before) ** 2 + stdev(after) ** 2) / 2) ** 0.5
    return (fmean(after) - fmean(before)) / pooled if pooled else None


def mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided p of McNemar's exact test; 1 where nothing moved."""
    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def signed_rank(differences: Sequence[float]) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; differences of 0 are left out, 1 where all are."""
    moved = [d for d in differences if d]
    return float(wilcoxon(moved).pvalue) if moved else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's step-down method, in the same order."""
    corrected, highest = [0.0] * len(values), 0.0
    for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[at]))
        corrected[at] = highest
    return corrected


def _correct(effects: Sequence[Effect]) -> list[Effect]:
    return [replace(e, p_holm=p) for e, p in zip(effects, holm([e.p for e in effects]), strict=True)]


def _passed(result: Result) -> bool:
    return result.status is UnitStatus.PASSED
