"""The first part of a run: its input and its manifest. PURE.

The plan Job asks no model. It starts as soon as the pools exist, so that its start-up hides behind theirs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from toolorch_api.conditions import RunCondition, RunReason, find_condition
from toolorch_api.evalrun import EvalRun
from toolorch_api.shard import ExitCode
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.ending import fail
from toolorch_operator.evalrun.holdups import describe_pods, find_holdup
from toolorch_operator.evalrun.looks import find_age, next_wait
from toolorch_operator.evalrun.names import plan_job
from toolorch_operator.evalrun.objects import build_plan_job
from toolorch_operator.evalrun.observed import JobView, ObservedRun
from toolorch_operator.evalrun.pools import all_pools_exist, say_pools
from toolorch_operator.evalrun.status import TERMINATION_MESSAGE
from toolorch_operator.evalrun.step import Says, Step, go_on, hold

# Seconds: planning takes a pod's start, and everything else waits for it. The manifest is in storage most of a second
# before the Job controller says that the Job is complete.
LOOK_AGAIN = 0.4
# A queue's answer comes with the Job's own event; that a quota has room again is told by nobody.
HELD_LOOK = 10.0
LISTING = "units are being listed"


def plan_units(run: EvalRun, observed: ObservedRun, defaults: Defaults, now: datetime) -> Step:
    """Return the next step towards a manifest."""
    job = observed.jobs.get(plan_job(run))
    if job is not None and job.has_ended:
        return fail(run, observed, RunReason.PLAN_FAILED, _why(run, observed), {RunCondition.PLANNED: False})
    if job is not None and _is_overdue(run, job, now):
        why = f"the units were not listed within deadlines.runSeconds of {run.spec.deadlines.run_seconds} s"
        return fail(run, observed, RunReason.DEADLINE_EXCEEDED, why, {RunCondition.PLANNED: False})
    if job is not None:
        return _say_planning(_await_job(observed, job, now))
    if not all_pools_exist(run, observed):
        return hold(RunReason.WAITING_FOR_POOLS, say_pools(run, observed).message)
    if observed.live_pods(plan_job(run)):
        return hold(RunReason.PLANNING, "a pod of a deleted plan Job is still ending", LOOK_AGAIN)
    step = _say_planning(go_on(RunReason.PLANNING, LISTING, LOOK_AGAIN))
    return replace(step, create=(build_plan_job(run, defaults),))


def _is_overdue(run: EvalRun, job: JobView, now: datetime) -> bool:
    """Whether a Job that hangs has had its time, since it began or the run was resumed, by the user or by an edit."""
    if job.started_at is None or job.is_suspended:
        return False
    marks = (find_condition(run.status.conditions, t) for t in (RunCondition.SUSPENDED, RunCondition.FAILED))
    since = max([job.started_at, *(mark.last_transition_time for mark in marks if mark is not None)])
    return now - since > timedelta(seconds=run.spec.deadlines.run_seconds)


def _await_job(observed: ObservedRun, job: JobView, now: datetime) -> Step:
    holdup = find_holdup(observed, job.name)
    if holdup is not None:
        return hold(holdup.reason, holdup.message, HELD_LOOK)
    say = hold if observed.is_stuck(job.name) else go_on
    look = next_wait(find_age(job, now), LOOK_AGAIN).total_seconds()
    return say(RunReason.PLANNING, LISTING + describe_pods(observed, job.name), look)


def _say_planning(step: Step) -> Step:
    says = {**step.says, RunCondition.PLANNED: Says(False, RunReason.PLANNING)}
    return replace(step, says=says)


def _why(run: EvalRun, observed: ObservedRun) -> str:
    job = observed.jobs[plan_job(run)]
    if job.is_complete:
        return f"Job {job.name} is complete, but manifest.json is not in storage"
    pods = [pod for pod in observed.pods if pod.job == job.name and pod.exit_code]
    refused = [pod for pod in pods if pod.exit_code == ExitCode.BAD_INPUT]
    last = next((pod.message for pod in [*refused, *pods] if pod.message), "")
    return last[:TERMINATION_MESSAGE] or job.failure or f"Job {job.name} failed"
