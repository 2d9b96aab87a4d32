"""The audit: results in storage against the manifest, without what is set aside, and against the counts. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import UnitCounts
from toolorch_operator.evalrun.attempts import count_errors, missing_units
from toolorch_operator.evalrun.deaths import judge_units
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.progress import count_units


@dataclass(frozen=True, slots=True)
class Audit:
    """What the listing of results says."""

    missing: tuple[int, ...]
    """Indexes of units without a final result that are still to be run."""
    units: UnitCounts
    """All but passed and failed by the listing; those two as the shards counted them."""
    agrees: bool
    """Whether the shards' counts add up to the results: only then is a score of theirs to be trusted."""


def audit(run: EvalRun, observed: ObservedRun, attempt: int) -> Audit | None:
    """Hold results against the manifest; None where either was not read."""
    storage = observed.storage
    if storage.manifest is None or storage.results is None:
        return None
    unscored, set_aside = missing_units(storage.manifest, storage.results), judge_units(run, observed).quarantined
    missing = [i for i in unscored if i not in set_aside]
    total = len(storage.manifest.units)
    counted = count_units(storage.progress, attempt, total)
    errors = count_errors(storage.manifest, missing, storage.errors or frozenset())
    listed = {"done": total - len(unscored), "quarantined": len(unscored) - len(missing), "infra_errors": errors}
    units = counted.model_copy(update={**listed, "running": 0})
    return Audit(tuple(missing), units, agrees=counted.done == units.done)
