"""The audit: results in storage against the manifest, and against what the shards counted. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from toolorch_api.evalrun_status import UnitCounts
from toolorch_operator.evalrun.attempts import count_errors, missing_units
from toolorch_operator.evalrun.observed import StorageView
from toolorch_operator.evalrun.progress import count_units


@dataclass(frozen=True, slots=True)
class Audit:
    """What the listing of results says."""

    missing: tuple[int, ...]
    """Indexes of units without a final result."""
    units: UnitCounts
    """done, total and infraErrors by the listing; passed and failed as the shards counted them."""
    agrees: bool
    """Whether the shards' counts add up to the results: only then is a score of theirs to be trusted."""


def audit(storage: StorageView, attempt: int) -> Audit | None:
    """Hold results against the manifest; None where either was not read."""
    if storage.manifest is None or storage.results is None:
        return None
    missing = missing_units(storage.manifest, storage.results)
    total = len(storage.manifest.units)
    counted = count_units(storage.progress, attempt, total)
    errors = count_errors(storage.manifest, missing, storage.errors or frozenset())
    units = counted.model_copy(update={"done": total - len(missing), "infra_errors": errors, "running": 0})
    return Audit(tuple(missing), units, agrees=counted.done == units.done)
