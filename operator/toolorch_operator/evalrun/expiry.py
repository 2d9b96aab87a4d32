"""When the children of a finished run go, and that they went: ttlSecondsAfterFinished. Results stay. PURE.

They are deleted by this program and not by the Job controller: a Job that vanished before its end was seen would be
made again, and a failed pod's log is kept in storage first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from toolorch_api.conditions import Condition, RunCondition, find_condition, is_true
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_operator.evalrun.evidence import evidence_is_kept
from toolorch_operator.evalrun.names import input_config_map
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.plan import Plan, Ref

EVIDENCE_LOOK = timedelta(seconds=60)
"""Until the next look at children whose logs storage does not take: nobody waits for them to go."""
GONE_LOOK = timedelta(seconds=2)
"""Until the look that sees them gone."""


def find_expiry(run: EvalRun) -> datetime | None:
    """Return when the children of a finished run go; None: it is not finished."""
    ends = (find_condition(run.status.conditions, t) for t in (RunCondition.COMPLETE, RunCondition.FAILED))
    end: Condition | None = next((end for end in ends if end is not None and end.status == "True"), None)
    if end is None:
        return None
    ttl = run.spec.ttl_seconds_after_finished
    seconds = ttl.complete if is_true(run.status.conditions, RunCondition.COMPLETE) else ttl.failed
    return (run.status.completion_time or end.last_transition_time) + timedelta(seconds=seconds)


def wait_for_expiry(run: EvalRun, status: EvalRunStatus, now: datetime) -> timedelta | None:
    """Return until when nothing is to be done for a run that has just come to this status; None: for ever."""
    at = find_expiry(run.model_copy(update={"status": status}))
    return None if at is None else max(timedelta(0), at - now)


def expire(run: EvalRun, observed: ObservedRun, now: datetime) -> Plan:
    """Return what is left to do for a run whose report is decided: its Jobs and its input go in time, and only once.

    They come back where a raised limit resumes the run.
    """
    at = find_expiry(run)
    if at is None or run.status.expired:
        return Plan()
    if now < at:
        return Plan(requeue_after=at - now)
    if not evidence_is_kept(observed):
        return Plan(requeue_after=EVIDENCE_LOOK)
    gone = [Ref("Job", job.name, job.uid) for job in observed.jobs.values()]
    if input_config_map(run) in observed.config_maps:
        gone.append(Ref("ConfigMap", input_config_map(run)))
    if gone:
        return Plan(delete=tuple(gone), requeue_after=GONE_LOOK)
    status = run.status.model_copy(update={"expired": True})
    return Plan(status=status.model_dump(mode="json", by_alias=True, exclude_none=True))
