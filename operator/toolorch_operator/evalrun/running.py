"""The middle part of a run: attempts at what is missing, until nothing is or no further attempt may be made. PURE.

An attempt is over when its Job is. A Job that vanished is not: it is made again from the same assignment, once its
pods are gone, and costs no retry; shards skip every unit that has a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from toolorch_api.conditions import RunCondition, RunReason
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.evalrun_status import UnitCounts
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.attempts import (
    build_assignment,
    build_assignment_blob,
    by_length,
    current_attempt,
    may_retry,
    stored_attempt,
)
from toolorch_operator.evalrun.audit import audit
from toolorch_operator.evalrun.ending import conclude, release_jobs, stop_jobs
from toolorch_operator.evalrun.holdups import describe_pods, find_holdup
from toolorch_operator.evalrun.looks import find_age, next_look
from toolorch_operator.evalrun.names import attempt_job
from toolorch_operator.evalrun.objects import build_attempt_job, build_suspension
from toolorch_operator.evalrun.observed import JobView, ObservedRun
from toolorch_operator.evalrun.pools import say_pools
from toolorch_operator.evalrun.progress import count_units, expected_seconds, format_eta, sum_usage
from toolorch_operator.evalrun.provenance import build_provenance_blob
from toolorch_operator.evalrun.size import fit_size
from toolorch_operator.evalrun.stall import add_stall
from toolorch_operator.evalrun.step import Says, Step, go_on, hold
from toolorch_operator.evalrun.verdict import find_cause, find_limit, find_room
from toolorch_operator.plan import Manifest
from toolorch_operator.queueing import find_queue

# Seconds until a look at pods that are ending.
DRAIN_LOOK = 1.0
# Seconds between looks at a run that has begun and waits for pools: nothing else would tell of its deadline.
DEADLINE_LOOK = 30.0


def run_attempts(run: EvalRun, observed: ObservedRun, defaults: Defaults, now: datetime) -> Step:
    """Return the next step of a run that has a manifest."""
    attempt, stored = current_attempt(run, observed), stored_attempt(observed)
    if stored > attempt:
        return go_on(RunReason.AUDITING, f"attempt {stored} had begun: status was lost", 0.0, attempt=stored)
    job, limit = observed.jobs.get(attempt_job(run, attempt)), find_limit(run, observed, now)
    if limit is not None and job is not None and not job.has_ended:
        stopped = _stop_at(limit, run, observed, job)
        if stopped is not None:
            return stopped
    elif job is not None and not job.has_ended and not _is_done(run, observed, attempt):
        return _watch(run, observed, defaults, attempt, now)
    elif job is None and observed.live_pods(attempt_job(run, attempt)):
        return hold(RunReason.RUNNING, f"attempt {attempt}: pods of its deleted Job are still ending", DRAIN_LOOK)
    return _take_stock(run, observed, defaults, attempt, now)


def progress_fields(run: EvalRun, observed: ObservedRun, attempt: int) -> dict[str, Any]:
    """Return the fields of status that the shards' progress gives."""
    progress = observed.storage.progress
    counted = count_units(progress, attempt, _total(run, observed))
    units = counted.model_copy(update={"quarantined": run.status.units.quarantined})
    return {"units": units, "usage": sum_usage(progress)}


def _is_done(run: EvalRun, observed: ObservedRun, attempt: int) -> bool:
    """Whether every unit has a result though the Job has not ended: its pods' ends need not be waited for."""
    found = audit(run, observed, attempt)
    return found is not None and not found.missing


def _watch(run: EvalRun, observed: ObservedRun, defaults: Defaults, attempt: int, now: datetime) -> Step:
    fields = progress_fields(run, observed, attempt)
    holdup = find_holdup(observed, attempt_job(run, attempt))
    if holdup is not None:
        return hold(holdup.reason, holdup.message, DEADLINE_LOOK, eta="", attempt=attempt, **fields)
    # The time in a queue does not count towards deadlines.runSeconds.
    fields["start_time"] = run.status.start_time or now.replace(microsecond=0)
    units: UnitCounts = fields["units"]
    seconds = expected_seconds(observed.storage.progress, attempt, now)
    # All units counted but results not listed in this look: the next one lists them.
    unlisted = 0 < units.total <= units.done + units.quarantined and observed.storage.results is None
    age = find_age(observed.jobs[attempt_job(run, attempt)], now)
    look = 0.0 if unlisted else next_look(age, seconds, find_room(run, observed, now)).total_seconds()
    message = f"attempt {attempt}: {units.done} of {units.total} done, {units.running} running"
    message += f", {units.quarantined} quarantined" if units.quarantined else ""
    message += describe_pods(observed, attempt_job(run, attempt))
    say = hold if observed.is_stuck(attempt_job(run, attempt)) else go_on
    step = say(RunReason.RUNNING, message, look, eta=format_eta(seconds), attempt=attempt, **fields)
    step = replace(step, apply=_fit(run, observed.jobs[attempt_job(run, attempt)], units.total - units.done))
    return add_stall(run, observed, defaults, step, now)


def _fit(run: EvalRun, job: JobView, remaining: int) -> tuple[Manifest, ...]:
    """Return the change of a running attempt's Job to a new spec.shards; Kueue admits a Job in one size only."""
    size = None if job.size is None or job.queue else fit_size(job.size, run.spec.shards, remaining)
    return () if size is None else (build_suspension(run, job.name, suspend=False, size=size),)


def _take_stock(run: EvalRun, observed: ObservedRun, defaults: Defaults, attempt: int, now: datetime) -> Step:
    found = audit(run, observed, attempt)
    if found is None:
        return go_on(RunReason.AUDITING, "results are being listed", 0.0, **_planned_fields(run, observed))
    cause = find_cause(run, observed, attempt, now)
    job = observed.jobs.get(attempt_job(run, attempt))
    is_last = job is not None and (cause is not None or not may_retry(run, attempt))
    if not found.missing or is_last or (cause is not None and attempt > 0):
        return conclude(run, observed, defaults, found, cause, now)
    pools = say_pools(run, observed)
    if not pools.truth:
        return hold(pools.reason, pools.message, DEADLINE_LOOK if attempt else None, units=found.units)
    return _begin(run, observed, defaults, attempt if job is None and attempt else attempt + 1, found.missing, now)


def _begin(
    run: EvalRun, observed: ObservedRun, defaults: Defaults, attempt: int, missing: Sequence[int], now: datetime
) -> Step:
    known = observed.storage.assignment
    given = known if known is not None and known.attempt == attempt else None
    ordered = by_length(missing, observed.storage.manifest)
    assignment = given or build_assignment(run, attempt, ordered, spec_hash(run.spec))
    shards = len(assignment.shards)
    message = f"attempt {attempt}: {len(missing)} missing units over {shards} shards"
    assigned = () if given else (build_assignment_blob(assignment),)
    job = build_attempt_job(run, defaults, attempt, shards, observed.pools)
    start = run.status.start_time or (None if find_queue(job) else now.replace(microsecond=0))
    fields = {**_planned_fields(run, observed), "attempt": attempt, "start_time": start}
    step = go_on(RunReason.RUNNING, message, next_look(0.0, None).total_seconds(), **fields)
    running = Says(False, RunReason.RUNNING)
    ends = dict.fromkeys((RunCondition.COMPLETE, RunCondition.FAILED, RunCondition.RESULTS_COMPLETE), running)
    return Step(
        {**step.says, **ends},
        step.changes,
        blobs=(*assigned, build_provenance_blob(run, observed, attempt, now)),
        create=(job,),
        status_first=True,
        requeue=step.requeue,
    )


def _planned_fields(run: EvalRun, observed: ObservedRun) -> dict[str, Any]:
    return {"units": run.status.units.model_copy(update={"total": _total(run, observed)})}


def _total(run: EvalRun, observed: ObservedRun) -> int:
    manifest = observed.storage.manifest
    return run.status.units.total if manifest is None else len(manifest.units)


def _stop_at(limit: Says, run: EvalRun, observed: ObservedRun, job: JobView) -> Step | None:
    stopping, released = stop_jobs(run, observed), release_jobs(observed)
    if not stopping and not released and not observed.live_pods(job.name):
        return None
    step = hold(limit.reason, f"{limit.message}: Job {job.name} stops", DRAIN_LOOK)
    return Step(step.says, delete=released, apply=stopping, requeue=step.requeue)
