"""What a run's results add up to: scores with their uncertainty, per domain, pass^k, causes, and what looks broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from toolorch_api.evalrun_status import Usage
from toolorch_api.figures import decimals, span
from toolorch_api.shard import Manifest, Result, Summary, Unit
from toolorch_evaluator.breakdown import Outcomes, Row
from toolorch_evaluator.counted import Happened, sum_up
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
class RunNumbers:
    """All numbers of a run."""

    head: Summary
    whole: Row
    groups: Sequence[Row]
    """One per variant and domain, in the manifest's order."""
    variants: Sequence[Row]
    """One per variant over its domains; none where that would say the same."""
    trials: Sequence[Row]
    """One per trial; none where there is one."""
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
    happened: Happened


def summarise(
    manifest: Manifest, ends: Ends, attempt: int = 0, suspect: Sequence[str] = (), experts: Collection[str] = ()
) -> RunNumbers:
    """Sum up a run; `suspect` are the signs of broken plumbing that were found in it, `experts` its expert roles."""
    units = [Unit(*u) for u in manifest.units]
    aside = {one.unit for one in ends.quarantined}
    # What was set aside is counted once, whatever error it had left before.
    errors = {unit: error for unit, error in ends.errors.items() if unit not in aside}
    outcomes = Outcomes(ends.finals, errors, aside)
    whole = outcomes.row("all", units)
    powers = compute_powers(units, ends.finals)
    every = [*ends.finals.values(), *errors.values()]
    return RunNumbers(
        head=_head(manifest, whole, powers, ends, attempt, suspect),
        whole=whole,
        groups=outcomes.by_domain(units),
        variants=outcomes.by_variant(units),
        trials=outcomes.by_trial(units),
        pass_hat_k=powers,
        causes=Counter(e.cause or "unknown" for e in errors.values()).most_common(),
        culprits=Counter(e.endpoint for e in errors.values() if e.endpoint).most_common(),
        terminations=Counter(r.termination_reason or "unknown" for r in ends.finals.values()).most_common(),
        served=count_served(every),
        endpoints=sorted(Counter(name for r in every for name in r.endpoints).items()),
        quarantined=ends.quarantined,
        refused=ends.refused,
        happened=sum_up(every, experts),
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
