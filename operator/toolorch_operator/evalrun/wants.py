"""Which facts in storage the next decision needs, so that a look costs O(1 + shards) requests. PURE.

Results are listed at the borders of attempts only; between them the shards' progress objects tell enough.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolorch_api.conditions import RunCondition, is_true
from toolorch_api.evalrun import EvalRun
from toolorch_operator.evalrun.names import attempt_job, plan_job, report_job
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.settled import is_finished, is_settled


@dataclass(frozen=True, slots=True)
class StorageWants:
    """What to read in the run's folder; nothing at all where `nothing` says so."""

    manifest: bool = False
    """Get manifest.json; it never changes once it is there and may be remembered."""
    assignment: int | None = None
    """Get the assignment of this attempt."""
    progress: bool = False
    """List progress/ and get what changed since the last look (the list carries ETags)."""
    results: bool = False
    """List the keys below results/."""
    errors: bool = False
    """List the keys below errors/."""
    summary: bool = False
    """Get report/summary.json."""

    @property
    def nothing(self) -> bool:
        """Whether storage need not be touched at all."""
        return self == StorageWants()


def wanted_facts(run: EvalRun, observed: ObservedRun) -> StorageWants:
    """Return what to read in storage; `observed` is everything but storage, read before it."""
    if is_settled(run.status) or not observed.secret_exists:
        return StorageWants()
    if is_finished(run.status) or report_job(run) in observed.jobs:
        return StorageWants(manifest=not is_finished(run.status), progress=not is_finished(run.status), summary=True)
    if run.status.attempt == 0:
        return _before_attempts(run, observed)
    job = observed.jobs.get(attempt_job(run, run.status.attempt))
    audit = job is None or job.has_ended or job.is_suspended or _looks_done(run)
    return StorageWants(
        manifest=audit,
        assignment=run.status.attempt if job is None else None,
        progress=True,
        results=audit,
        errors=audit,
    )


def _before_attempts(run: EvalRun, observed: ObservedRun) -> StorageWants:
    job = observed.jobs.get(plan_job(run))
    planned = is_true(run.status.conditions, RunCondition.PLANNED) or (job is not None and job.is_complete)
    return StorageWants(manifest=True, results=planned, errors=planned, progress=planned)


def _looks_done(run: EvalRun) -> bool:
    return 0 < run.status.units.total <= run.status.units.done
