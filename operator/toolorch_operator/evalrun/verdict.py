"""How a run ends: its counts against spec.acceptance, and the limits of the whole run. PURE."""

from __future__ import annotations

from datetime import datetime, timedelta

from toolorch_api.conditions import RunCondition, RunReason, find_condition, is_true
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import UnitCounts
from toolorch_api.shard import ExitCode
from toolorch_operator.evalrun.budget import find_budget_room, find_overrun, find_spent
from toolorch_operator.evalrun.names import attempt_job
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.status import TERMINATION_MESSAGE
from toolorch_operator.evalrun.step import Says


def judge(run: EvalRun, units: UnitCounts, cause: Says | None) -> Says:
    """Return whether the run is Complete, and why (not); `cause` is what ended it before its retries were used up."""
    accept, scored = run.spec.acceptance, f"{units.done} of {units.total} scored"
    # What is set aside would not be run with more time or tokens either.
    if cause is not None and units.done + units.quarantined < units.total:
        return Says(False, cause.reason, f"{scored}; {cause.message}")
    if units.done * 100 < accept.min_coverage * units.total:
        return Says(False, RunReason.COVERAGE_BELOW_MINIMUM, f"{scored}, {accept.min_coverage} % are needed")
    if units.infra_errors * 100 > accept.max_infra_errors * units.total:
        what = f"{units.infra_errors} of {units.total} units ended with an infra error"
        return Says(False, RunReason.INFRA_ERRORS_ABOVE_MAXIMUM, f"{what}, {accept.max_infra_errors} % are allowed")
    return Says(True, RunReason.RUN_COMPLETE, scored)


def find_cause(run: EvalRun, observed: ObservedRun, attempt: int, now: datetime) -> Says | None:
    """Return why no further attempt is of use, whatever spec.retry says; None: one is."""
    limit = find_limit(run, observed, now)
    if limit is not None:
        return limit
    name = attempt_job(run, attempt)
    refused = [pod for pod in observed.pods if pod.job == name and pod.exit_code == ExitCode.BAD_INPUT]
    job = observed.jobs.get(name)
    if refused and job is not None and job.is_failed:
        return Says(False, RunReason.BAD_INPUT, refused[0].message[:TERMINATION_MESSAGE] or "a shard refused its input")
    return None


def find_limit(run: EvalRun, observed: ObservedRun, now: datetime) -> Says | None:
    """Return which limit of the whole run is reached, in numbers; None: it may go on."""
    if is_overdue(run, now):
        seconds = run.spec.deadlines.run_seconds
        return Says(False, RunReason.DEADLINE_EXCEEDED, f"deadlines.runSeconds of {seconds} s has passed")
    return find_overrun(run, find_spent(run, observed, now))


def find_room(run: EvalRun, observed: ObservedRun, now: datetime) -> float | None:
    """Return the seconds until the first limit of the whole run is expected to be reached; None: nothing has begun."""
    if run.status.start_time is None:
        return None
    end = _find_deadline_start(run, run.status.start_time) + timedelta(seconds=run.spec.deadlines.run_seconds)
    return min((end - now).total_seconds(), find_budget_room(run, find_spent(run, observed, now), now))


def is_overdue(run: EvalRun, now: datetime) -> bool:
    """Whether deadlines.runSeconds has passed since the first attempt began, or since the run was last resumed."""
    start = run.status.start_time
    if start is None or is_true(run.status.conditions, RunCondition.SUSPENDED):
        return False
    return now - _find_deadline_start(run, start) > timedelta(seconds=run.spec.deadlines.run_seconds)


def _find_deadline_start(run: EvalRun, start: datetime) -> datetime:
    rested = find_condition(run.status.conditions, RunCondition.SUSPENDED)
    return start if rested is None else max(start, rested.last_transition_time)
