"""The whole of an EvalRun's behaviour: a pure step from (spec, observed, now) to what should change. PURE.

No phase is stored. Each look derives from Jobs, pods and storage where the run is: gates, planning, attempts, ending.
"""

from __future__ import annotations

from datetime import datetime

from toolorch_api.conditions import RunCondition, RunReason
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.attempts import current_attempt
from toolorch_operator.evalrun.budget import add_spent, without_mere_count
from toolorch_operator.evalrun.deaths import learn_quarantine
from toolorch_operator.evalrun.ending import (
    await_summary,
    fail,
    follow_report,
    leave_namespace,
    release_jobs,
    stop_jobs,
)
from toolorch_operator.evalrun.evidence import keep_evidence
from toolorch_operator.evalrun.expiry import expire, wait_for_expiry
from toolorch_operator.evalrun.ground import add_ground
from toolorch_operator.evalrun.names import report_job
from toolorch_operator.evalrun.objects import build_suspension
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.planning import plan_units
from toolorch_operator.evalrun.reopening import clear_report, reopen
from toolorch_operator.evalrun.report import without_older_summary
from toolorch_operator.evalrun.running import progress_fields, run_attempts
from toolorch_operator.evalrun.settled import is_finished, is_settled
from toolorch_operator.evalrun.status import build_events, compute_status
from toolorch_operator.evalrun.step import Says, Step, go_on, hold
from toolorch_operator.evalrun.verdict import find_cause, find_limit
from toolorch_operator.evalrun.wants import wanted_facts
from toolorch_operator.plan import Plan

# Seconds until the next try at what nothing tells an end of: a Secret is not watched, storage cannot be.
SECRET_LOOK, STORAGE_LOOK = 10.0, 5.0
RESUME_LOOK = 1.0


def plan(run: EvalRun, observed: ObservedRun, now: datetime, defaults: Defaults) -> Plan:
    """Return what should change about a run; once its report is decided, its children's end alone."""
    if run.metadata.deletion_timestamp is not None:
        return Plan()
    return keep_evidence(run, observed, _plan(run, observed, now, defaults))


def _plan(run: EvalRun, observed: ObservedRun, now: datetime, defaults: Defaults) -> Plan:
    if observed.namespace_is_going:
        return leave_namespace(observed)
    again = reopen(run, now)
    if again is None and is_settled(run.status):
        return expire(run, observed, now)
    known = learn_quarantine(run, observed)
    step = again or _decide(known, observed, now, defaults)
    if not is_finished(run.status):
        step = add_spent(known, observed, now, add_ground(known, observed, defaults, step))
    status = without_mere_count(run.status, compute_status(known, step, now))
    return Plan(
        delete=step.delete,
        blobs=step.blobs,
        create=step.create,
        apply=step.apply,
        status=None if status == run.status else status.model_dump(mode="json", by_alias=True, exclude_none=True),
        status_first=step.status_first,
        events=(*build_events(run.status, status), *step.events),
        # No event tells that time has passed, and a run's own writes wake nobody.
        requeue_after=step.requeue if not is_settled(status) else wait_for_expiry(run, status, now),
    )


def _decide(run: EvalRun, observed: ObservedRun, now: datetime, defaults: Defaults) -> Step:
    if is_finished(run.status):
        return follow_report(run, without_older_summary(run, observed), defaults, now)
    gate = _check_gates(run, observed, defaults)
    if gate is not None:
        return gate
    if find_limit(run, observed, now) is None:
        resumed = _resume(run, observed)
        if resumed is not None:
            return resumed
    cleared = clear_report(run, observed)
    if cleared is not None:
        return cleared
    if report_job(run) in observed.jobs:
        cause = find_cause(run, observed, current_attempt(run, observed), now)
        return await_summary(run, without_older_summary(run, observed), defaults, cause, now)
    if wanted_facts(run, observed).manifest and observed.storage.manifest is None:
        return plan_units(run, observed, defaults, now)
    return run_attempts(run, observed, defaults, now)


def _check_gates(run: EvalRun, observed: ObservedRun, defaults: Defaults) -> Step | None:
    """Return what holds the run up before anything of its own is looked at; None: nothing."""
    output = resolve_output(run, defaults)
    if output is None:
        return hold(RunReason.NO_OUTPUT, "set spec.output.uri: neither the spec nor the chart says where results go")
    if run.status.spec_hash not in ("", spec_hash(run.spec)):
        why = "spec changed in a field that changes results: make a new EvalRun"
        return fail(run, observed, RunReason.SPEC_CHANGED, why, {})
    if not observed.secret_exists:
        return hold(RunReason.WAITING_FOR_SECRET, f"Secret {output.secret} does not exist", SECRET_LOOK)
    if run.spec.suspend:
        return _suspend(run, observed)
    if not observed.storage.reachable:
        return _wait_for_storage(observed)
    return None


def _wait_for_storage(observed: ObservedRun) -> Step:
    # An outage says nothing about results, and pods that run may still reach them: unknown, never failed.
    unknown = Says(None, RunReason.STORAGE_UNAVAILABLE, observed.storage.error)
    step = hold(RunReason.STORAGE_UNAVAILABLE, observed.storage.error, STORAGE_LOOK)
    return Step({**step.says, RunCondition.RESULTS_COMPLETE: unknown}, requeue=step.requeue)


def _suspend(run: EvalRun, observed: ObservedRun) -> Step:
    attempt = current_attempt(run, observed)
    fields = progress_fields(run, observed, attempt) if attempt and observed.storage.progress else {}
    step = hold(RunReason.SUSPENDED, "spec.suspend is true; results stay", eta="", **fields)
    says = {**step.says, RunCondition.SUSPENDED: Says(True, RunReason.SUSPENDED, "spec.suspend is true")}
    return Step(says, step.changes, delete=release_jobs(observed), apply=stop_jobs(run, observed))


def _resume(run: EvalRun, observed: ObservedRun) -> Step | None:
    # Of attempts only the newest: an earlier one was stopped for good.
    wanted = (0, current_attempt(run, observed))
    resting = [job for job in observed.jobs.values() if job.is_suspended and not job.queue and not job.has_ended]
    jobs = [job for job in resting if job.attempt in wanted]
    if not jobs:
        return None
    step = go_on(RunReason.RUNNING, "resumed", RESUME_LOOK)
    going = tuple(build_suspension(run, job.name, suspend=False, size=job.size) for job in jobs)
    return Step(step.says, apply=going, requeue=step.requeue)
