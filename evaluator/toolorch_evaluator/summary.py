"""What a run's results add up to: scores with their uncertainty, per domain, pass^k, causes, and what looks broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

from toolorch_api.figures import decimals, span, wilson_interval
from toolorch_api.shard import Manifest, Result, Summary, Unit, UnitStatus
from toolorch_evaluator.suspects import find_suspects
from toolorch_evaluator.tally import add_usage


@dataclass(frozen=True, slots=True)
class Row:
    """Units of one group, and how they ended."""

    name: str
    total: int
    scored: int
    passed: int
    infra_errors: int
    reward: float
    """Sum over the scored units."""

    @property
    def score(self) -> float | None:
        """Mean reward over the scored units; None where none is scored."""
        return self.reward / self.scored if self.scored else None

    @property
    def score_scheduled(self) -> float:
        """Mean reward over all units, an unscored one counting 0."""
        return self.reward / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the share of passed units; None where none is scored."""
        return wilson_interval(self.passed, self.scored)


@dataclass(frozen=True, slots=True)
class PassHatK:
    """pass^k: the chance that k trials of a task all pass, as a mean over tasks."""

    k: int
    scored: float | None
    """Over tasks with at least k scored trials; None where no task has."""
    tasks: int
    """How many tasks those are."""
    scheduled: float
    """Over all tasks, an unscored trial counting as failed."""


@dataclass(frozen=True, slots=True)
class RunNumbers:
    """All numbers of a run."""

    head: Summary
    whole: Row
    groups: Sequence[Row]
    """One per variant and domain, in the manifest's order."""
    pass_hat_k: Sequence[PassHatK]
    causes: Sequence[tuple[str, int]]
    """Causes of infra errors, the most frequent first."""
    terminations: Sequence[tuple[str, int]]
    served: Mapping[str, Sequence[str]]
    """Served model ids by role."""
    endpoints: Sequence[tuple[str, int]]
    """Units that each endpoint answered in."""


def summarise(manifest: Manifest, finals: Mapping[Unit, Result], errors: Mapping[Unit, Result]) -> RunNumbers:
    """Sum up a run.

    `finals` holds the final results, `errors` the infra errors of units that have none; both only of this manifest.
    """
    units = [Unit(*u) for u in manifest.units]
    whole = _row("all", units, finals, errors)
    powers = _pass_hat_k(units, finals)
    every = [*finals.values(), *errors.values()]
    return RunNumbers(
        head=_head(manifest, whole, powers, every),
        whole=whole,
        groups=_groups(units, finals, errors),
        pass_hat_k=powers,
        causes=Counter(e.cause or "unknown" for e in errors.values()).most_common(),
        terminations=Counter(r.termination_reason or "unknown" for r in finals.values()).most_common(),
        served=_served(every),
        endpoints=sorted(Counter(name for r in every for name in r.endpoints).items()),
    )


def _head(manifest: Manifest, whole: Row, powers: Sequence[PassHatK], every: Sequence[Result]) -> Summary:
    return Summary(
        spec_hash=manifest.spec_hash,
        total=whole.total,
        scored=whole.scored,
        passed=whole.passed,
        failed=whole.scored - whole.passed,
        infra_errors=whole.infra_errors,
        score=decimals(whole.score),
        score_scheduled=decimals(whole.score_scheduled),
        interval=span(whole.interval),
        pass_hat_k={str(p.k): decimals(p.scored) for p in powers if p.scored is not None},
        usage=add_usage(r.usage for r in every),
        suspect=find_suspects(every),
    )


def _row(name: str, units: Sequence[Unit], finals: Mapping[Unit, Result], errors: Mapping[Unit, Result]) -> Row:
    scored = [finals[u] for u in units if u in finals]
    return Row(
        name=name,
        total=len(units),
        scored=len(scored),
        passed=sum(r.status is UnitStatus.PASSED for r in scored),
        infra_errors=sum(u in errors for u in units),
        reward=sum(r.reward or 0.0 for r in scored),
    )


def _groups(units: Sequence[Unit], finals: Mapping[Unit, Result], errors: Mapping[Unit, Result]) -> list[Row]:
    groups: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        groups[unit.variant, unit.domain].append(unit)
    plain = len({variant for variant, _ in groups}) == 1
    return [
        _row(domain if plain else f"{variant} / {domain}", members, finals, errors)
        for (variant, domain), members in groups.items()
    ]


def _pass_hat_k(units: Sequence[Unit], finals: Mapping[Unit, Result]) -> list[PassHatK]:
    tasks: dict[tuple[str, str, str], list[bool | None]] = defaultdict(list)
    for unit in units:
        result = finals.get(unit)
        trial = None if result is None else result.status is UnitStatus.PASSED
        tasks[unit.variant, unit.domain, unit.task_id].append(trial)
    trials = list(tasks.values())
    return [_power(k, trials) for k in range(1, max(map(len, trials), default=0) + 1)]


def _power(k: int, tasks: Sequence[Sequence[bool | None]]) -> PassHatK:
    scored = [[t for t in trials if t is not None] for trials in tasks]
    enough = [_chance(k, trials) for trials in scored if len(trials) >= k]
    scheduled = [_chance(k, [bool(t) for t in trials]) for trials in tasks if len(trials) >= k]
    return PassHatK(k, _mean(enough), len(enough), _mean(scheduled) or 0.0)


def _chance(k: int, trials: Sequence[bool]) -> float:
    """C(c, k) / C(n, k): the unbiased estimate for one task with c passes in n trials (τ-bench's definition)."""
    return comb(sum(trials), k) / comb(len(trials), k)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _served(results: Sequence[Result]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for result in results:
        for role, model in result.served.items():
            found[role].add(model)
    return {role: sorted(models) for role, models in sorted(found.items())}
