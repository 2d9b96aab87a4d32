"""What status takes from the report: the head of summary.json, and where report.html lies. PURE."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from toolorch_api.conditions import RunReason
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import UnitCounts
from toolorch_api.keys import REPORT_KEY
from toolorch_api.shard import Summary
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.attempts import current_attempt
from toolorch_operator.evalrun.budget import at_least
from toolorch_operator.evalrun.holdups import describe_pods, find_holdup
from toolorch_operator.evalrun.looks import find_age, next_wait
from toolorch_operator.evalrun.names import report_job
from toolorch_operator.evalrun.observed import JobView, ObservedRun
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.status import TERMINATION_MESSAGE
from toolorch_operator.evalrun.step import Says

REPORTING = Says(None, RunReason.REPORTING, "the report is being written")
LOOK_AGAIN = timedelta(seconds=2)


def summary_fields(run: EvalRun, summary: Summary, defaults: Defaults) -> dict[str, Any]:
    """Return the fields of status that the report's summary holds."""
    output = resolve_output(run, defaults)
    return {
        "units": UnitCounts(
            total=summary.total,
            done=summary.scored,
            passed=summary.passed,
            failed=summary.failed,
            infra_errors=summary.infra_errors,
            quarantined=summary.quarantined,
        ),
        "score": summary.score,
        "score_scheduled": summary.score_scheduled,
        "interval": summary.interval,
        "interval_scheduled": summary.interval_scheduled,
        "pass_hat_k": summary.pass_hat_k,
        "pass_hat_k_tasks": summary.pass_hat_k_tasks,
        # Results know nothing of what was lost on the way to them.
        "usage": at_least(run.status.usage, summary.usage),
        "report": f"{output.root}/{REPORT_KEY}" if output else "",
    }


def is_older(run: EvalRun, observed: ObservedRun) -> bool:
    """Whether the summary in storage is of an earlier end; evaluators before resumed runs wrote no attempt."""
    summary = observed.storage.summary
    if summary is None:
        return False
    return summary.attempt < current_attempt(run, observed) if summary.attempt else run.status.attempts_before > 0


def without_older_summary(run: EvalRun, observed: ObservedRun) -> ObservedRun:
    """Return what is seen without the summary of an earlier end: the one of this end is still to come."""
    if not is_older(run, observed):
        return observed
    return replace(observed, storage=replace(observed.storage, summary=None))


def next_report_look(job: JobView | None, now: datetime) -> timedelta:
    """Return when to look again for what the report's Job writes."""
    return next_wait(find_age(job, now), LOOK_AGAIN.total_seconds())


def say_reporting(observed: ObservedRun, job: str) -> Says:
    """Return what ReportReady says while the report is to come, with what keeps its Job from starting."""
    holdup = find_holdup(observed, job)
    if holdup is None:
        return replace(REPORTING, message=REPORTING.message + describe_pods(observed, job))
    return replace(REPORTING, message=holdup.message)


def say_report(run: EvalRun, observed: ObservedRun) -> Says:
    """Return what ReportReady says once the summary is there or the report's Job has ended."""
    if observed.storage.summary is not None:
        return Says(True, RunReason.REPORT_WRITTEN, "report.html and summary.json are in storage")
    name = report_job(run)
    words = next((pod.message for pod in observed.pods if pod.job == name and pod.message), "")
    job = observed.jobs.get(name)
    why = words[:TERMINATION_MESSAGE] or (job.failure if job else "") or "it left no summary.json"
    return Says(False, RunReason.REPORT_FAILED, f"Job {name}: {why}; results and verdict stand")
