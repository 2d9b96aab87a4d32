"""Which facts in storage the next decision needs, so that a look costs O(1 + shards) requests. PURE.

Results are listed at the borders of attempts only; between them the shards' progress objects tell enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolorch_api.conditions import RunCondition, is_true
from toolorch_api.evalrun import EvalRun
from toolorch_operator.evalrun.attempts import current_attempt
from toolorch_operator.evalrun.deaths import died_of_units
from toolorch_operator.evalrun.evidence import wanted_exits
from toolorch_operator.evalrun.names import attempt_job, plan_job, report_job
from toolorch_operator.evalrun.observed import JobView, ObservedRun
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
    deaths: bool = False
    """List deaths/ and get what is new there."""
    summary: bool = False
    """Get report/summary.json."""
    exits: frozenset[str] = frozenset()
    """Tell which of these keys are there; what was there once is remembered."""

    @property
    def nothing(self) -> bool:
        """Whether storage need not be touched at all."""
        return self == StorageWants()


def wanted_facts(run: EvalRun, observed: ObservedRun) -> StorageWants:
    """Return what to read in storage; `observed` is everything but storage, read before it."""
    if not (observed.secret_exists and observed.has_storage):
        return StorageWants()
    return replace(_decisive_facts(run, observed), exits=wanted_exits(observed))


def _decisive_facts(run: EvalRun, observed: ObservedRun) -> StorageWants:
    if is_settled(run.status):
        return StorageWants()
    if is_finished(run.status) or report_job(run) in observed.jobs:
        return StorageWants(summary=True)
    attempt = current_attempt(run, observed)
    if run.spec.suspend:
        return StorageWants(progress=attempt > 0)
    if attempt == 0:
        return _before_attempts(run, observed)
    job = observed.jobs.get(attempt_job(run, attempt))
    audit = job is None or job.has_ended or _is_stopped(job) or _looks_done(run)
    return StorageWants(
        # Units that kill their pods are told by name.
        manifest=audit or run.status.units.total == 0 or any(died_of_units(pod) for pod in observed.pods),
        assignment=attempt if job is None else None,
        progress=True,
        results=audit,
        errors=audit,
        deaths=audit,
    )


def _before_attempts(run: EvalRun, observed: ObservedRun) -> StorageWants:
    job = observed.jobs.get(plan_job(run))
    planned = is_true(run.status.conditions, RunCondition.PLANNED) or (job is not None and job.is_complete)
    # An assignment, results and deaths are there already where status was lost.
    listed = StorageWants(True, progress=planned, results=planned, errors=planned, deaths=planned)
    return replace(listed, assignment=1 if planned else None)


def wanted_refusals(observed: ObservedRun) -> list[str]:
    """Return the Jobs whose Events are to be read: they lack pods, and nothing else says why."""
    return [job.name for job in observed.jobs.values() if job.missing_pods]


def _is_stopped(job: JobView) -> bool:
    return job.is_suspended and not job.queue


def _looks_done(run: EvalRun) -> bool:
    units = run.status.units
    return 0 < units.total <= units.done + units.quarantined
