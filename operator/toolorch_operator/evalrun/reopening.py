"""A run that failed by a limit of its spec goes on once that limit is raised: when, and from which status. PURE.

It rests on the run alone: as long as nobody edits its spec, a failed run costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from toolorch_api.conditions import RunCondition, RunReason, Truth, find_condition
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_operator.evalrun.attempts import may_retry
from toolorch_operator.evalrun.ending import finish
from toolorch_operator.evalrun.names import report_job
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.report import is_older
from toolorch_operator.evalrun.step import Says, Step, go_on
from toolorch_operator.evalrun.verdict import find_limit, judge
from toolorch_operator.plan import Ref

FIELDS: Mapping[str, str] = {
    RunReason.DEADLINE_EXCEEDED: "deadlines.runSeconds",
    RunReason.BUDGET_EXHAUSTED: "budget",
    RunReason.COVERAGE_BELOW_MINIMUM: "retry.infra",
    RunReason.INFRA_ERRORS_ABOVE_MAXIMUM: "retry.infra",
}
"""What to raise, by the reason of a failure that this can mend."""
DELETE_LOOK = 1.0
"""Seconds until a deleted Job, or its pod, is gone."""


def reopen(run: EvalRun, now: datetime) -> Step | None:
    """Return the step by which a failed run goes on, or is complete by what its spec accepts now; None: it stays."""
    failed = find_condition(run.status.conditions, RunCondition.FAILED)
    if failed is None or failed.status is not Truth.TRUE or failed.reason not in FIELDS:
        return None
    if run.metadata.generation <= failed.observed_generation or run.status.spec_hash != spec_hash(run.spec):
        return None
    is_judged = failed.reason in (RunReason.COVERAGE_BELOW_MINIMUM, RunReason.INFRA_ERRORS_ABOVE_MAXIMUM)
    if is_judged and judge(run, run.status.units, None).truth:
        return _accept(run, now)
    units = run.status.units
    has_more = units.done + units.quarantined < units.total and may_retry(run, run.status.attempt)
    if find_limit(run, ObservedRun(), now) is not None or (is_judged and not has_more):
        return None
    return begin_again(run, f"spec.{FIELDS[failed.reason]} was raised")


def begin_again(run: EvalRun, why: str) -> Step:
    """Return the step of a failed run that makes further attempts at what is missing, with its retries to come."""
    attempt, units = run.status.attempt, run.status.units
    number = attempt + 1 if attempt else 0
    what = f"attempt {number} takes what is missing, {units.done} of {units.total} are done" if number else "all anew"
    running, to_come = Says(False, RunReason.RUNNING), Says(None, RunReason.NOT_STARTED)
    says = dict.fromkeys((RunCondition.COMPLETE, RunCondition.FAILED, RunCondition.RESULTS_COMPLETE), running)
    says[RunCondition.REPORT_READY] = Says(False, RunReason.NOT_STARTED)
    for type_ in (RunCondition.RESULTS_SUSPECT, RunCondition.GATE_PASSED):
        if find_condition(run.status.conditions, type_) is not None:
            says[type_] = to_come
    step = go_on(
        RunReason.RUNNING,
        f"{why}: {what}",
        0.0,
        attempt=number,
        attempts_before=attempt,
        completion_time=None,
        score="",
        score_scheduled="",
        interval="",
        interval_scheduled="",
        pass_hat_k={},
        pass_hat_k_tasks={},
        report="",
        expired=False,
    )
    return Step({**says, **step.says}, step.changes, requeue=step.requeue)


def clear_report(run: EvalRun, observed: ObservedRun) -> Step | None:
    """Return the step that removes the report of an earlier end from the way of the next one; None: there is none."""
    name, said = report_job(run), find_condition(run.status.conditions, RunCondition.REPORT_READY)
    if said is not None and said.reason == RunReason.REPORTING:
        return None
    job = observed.jobs.get(name)
    if job is not None and (run.status.attempts_before or is_older(run, observed)):
        step = go_on(RunReason.RUNNING, f"Job {name} of the earlier end goes", DELETE_LOOK)
        return Step(step.says, delete=(Ref("Job", name, job.uid),), requeue=step.requeue)
    if job is None and run.status.attempts_before and observed.live_pods(name):
        return go_on(RunReason.RUNNING, f"the pod of the earlier Job {name} is still ending", DELETE_LOOK)
    return None


def _accept(run: EvalRun, now: datetime) -> Step:
    status = run.status
    report = find_condition(status.conditions, RunCondition.REPORT_READY)
    truth = None if report is None or report.status is Truth.UNKNOWN else report.status is Truth.TRUE
    said = Says(truth, report.reason, report.message) if report else Says(None, RunReason.REPORTING)
    return finish(run, status.units, None, {"score": status.score, "interval": status.interval}, said, now)
