"""What a run's results add up to: scores with their uncertainty, per domain, pass^k, causes, and what looks broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from toolorch_api.evalrun_status import Usage
from toolorch_api.figures import decimals, span, wilson_interval
from toolorch_api.shard import Manifest, Result, Summary, Unit, UnitStatus
from toolorch_evaluator.powers import PassHatK, compute_powers
from toolorch_evaluator.set_aside import SetAside
from toolorch_evaluator.tally import add_usage

# Of what was refused, so many are named: the rest is in summary.json.
NAMED_REFUSALS = 3


@dataclass(frozen=True, slots=True)
class Ends:
    """How a run's units ended, as read from storage; all of it only of one manifest."""

    finals: Mapping[Unit, Result]
    errors: Mapping[Unit, Result] = field(default_factory=dict)
    """Infra errors of units that have no final result."""
    set_aside: Sequence[SetAside] = ()
    """Quarantined units, those that have a final result all the same included."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """By key: why a result object is not counted."""
    spent: Usage | None = None
    """What all shards have used, lost work included; None: nobody has counted it."""

    @property
    def quarantined(self) -> list[SetAside]:
        """Units that were set aside and have no final result."""
        return [one for one in self.set_aside if one.unit not in self.finals]


@dataclass(frozen=True, slots=True)
class Row:
    """Units of one group, and how they ended."""

    name: str
    total: int
    scored: int
    passed: int
    infra_errors: int
    quarantined: int
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

    @property
    def interval_scheduled(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the share of passed units among all; None where there are none."""
        return wilson_interval(self.passed, self.total)


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
    culprits: Sequence[tuple[str, int]]
    """Endpoints that raised infra errors, the most frequent first."""
    terminations: Sequence[tuple[str, int]]
    served: Mapping[str, Mapping[str, int]]
    """By role: the model ids that answered, and in how many units."""
    endpoints: Sequence[tuple[str, int]]
    """Units that each endpoint answered in."""
    quarantined: Sequence[SetAside]
    refused: Mapping[str, str]
    """By key: why a result object was not counted."""


def summarise(manifest: Manifest, ends: Ends, attempt: int = 0, suspect: Sequence[str] = ()) -> RunNumbers:
    """Sum up a run; `suspect` are the signs of broken plumbing that were found in it."""
    units = [Unit(*u) for u in manifest.units]
    aside = {one.unit for one in ends.quarantined}
    # What was set aside is counted once, whatever error it had left before.
    errors = {unit: error for unit, error in ends.errors.items() if unit not in aside}
    outcomes = _Outcomes(ends.finals, errors, aside)
    whole = outcomes.row("all", units)
    powers = compute_powers(units, ends.finals)
    every = [*ends.finals.values(), *errors.values()]
    return RunNumbers(
        head=_head(manifest, whole, powers, ends, attempt, suspect),
        whole=whole,
        groups=_groups(units, outcomes),
        pass_hat_k=powers,
        causes=Counter(e.cause or "unknown" for e in errors.values()).most_common(),
        culprits=Counter(e.endpoint for e in errors.values() if e.endpoint).most_common(),
        terminations=Counter(r.termination_reason or "unknown" for r in ends.finals.values()).most_common(),
        served=count_served(every),
        endpoints=sorted(Counter(name for r in every for name in r.endpoints).items()),
        quarantined=ends.quarantined,
        refused=ends.refused,
    )


def _head(
    manifest: Manifest, whole: Row, powers: Sequence[PassHatK], ends: Ends, attempt: int, suspect: Sequence[str]
) -> Summary:
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
        interval_scheduled=span(whole.interval_scheduled),
        pass_hat_k={str(p.k): decimals(p.scored) for p in powers if p.scored is not None},
        pass_hat_k_tasks={str(p.k): f"{p.tasks} of {p.of}" for p in powers if p.scored is not None},
        usage=ends.spent or add_usage(r.usage for r in (*ends.finals.values(), *ends.errors.values())),
        attempt=attempt,
        quarantined=whole.quarantined,
        refused=len(ends.refused),
        refusal=say_refused(ends.refused),
        suspect=list(suspect),
    )


def say_refused(refused: Mapping[str, str]) -> str:
    """Return what was refused and why, as a sentence; empty: nothing."""
    if not refused:
        return ""
    kinds = ", ".join(f"{count} {why}" for why, count in Counter(refused.values()).most_common())
    named = ", ".join(sorted(refused)[:NAMED_REFUSALS])
    objects = "1 result object" if len(refused) == 1 else f"{len(refused)} result objects"
    return f"{objects} refused: {kinds} ({named}{', …' if len(refused) > NAMED_REFUSALS else ''})"


def count_served(results: Sequence[Result]) -> dict[str, dict[str, int]]:
    """Return by role the model ids that answered, each with its number of units."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        for role, model in result.served.items():
            found[role][model] += 1
    return {role: dict(models.most_common()) for role, models in sorted(found.items())}


@dataclass(frozen=True, slots=True)
class _Outcomes:
    finals: Mapping[Unit, Result]
    errors: Mapping[Unit, Result]
    aside: Set[Unit]

    def row(self, name: str, units: Sequence[Unit]) -> Row:
        scored = [self.finals[u] for u in units if u in self.finals]
        return Row(
            name=name,
            total=len(units),
            scored=len(scored),
            passed=sum(r.status is UnitStatus.PASSED for r in scored),
            infra_errors=sum(u in self.errors for u in units),
            quarantined=sum(u in self.aside for u in units),
            reward=sum(r.reward or 0.0 for r in scored),
        )


def _groups(units: Sequence[Unit], outcomes: _Outcomes) -> list[Row]:
    groups: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        groups[unit.variant, unit.domain].append(unit)
    plain = len({variant for variant, _ in groups}) == 1
    return [
        outcomes.row(domain if plain else f"{variant} / {domain}", members)
        for (variant, domain), members in groups.items()
    ]
