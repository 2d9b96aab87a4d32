"""What a run has used up, and whether that is all it may: tokens by its shards, GPU time by the clock. PURE.

GPU time is that of all GPUs of the run's own pools while an attempt's Job runs, busy or not: they are kept for it. It
is counted from one look to the next, by the status: an operator that was away counts on, and a status that is lost
takes the count of earlier attempts with it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from math import inf

from toolorch_api.conditions import RunCondition, RunReason, find_condition
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus, Usage
from toolorch_operator.evalrun.attempts import current_attempt
from toolorch_operator.evalrun.holdups import find_holdup
from toolorch_operator.evalrun.names import attempt_job
from toolorch_operator.evalrun.observed import JobView, ObservedRun
from toolorch_operator.evalrun.progress import sum_usage
from toolorch_operator.evalrun.step import Says, Step

COUNT_EVERY = timedelta(seconds=60)
"""How old a count of GPU time may get in status: with each look written, a quiet run would write all the time."""
SECONDS_PER_HOUR = 3600


def find_spent(run: EvalRun, observed: ObservedRun, now: datetime) -> Usage:
    """Return what a run has used up until now; no figure is below the one in status."""
    seconds, _ = count_gpu_seconds(run, observed, now)
    spent = at_least(run.status.usage, sum_usage(observed.storage.progress))
    return spent.model_copy(update={"gpu_seconds": seconds})


def at_least(known: Usage, found: Usage) -> Usage:
    """Return the larger of each figure: neither a listing that lacks an object nor a report takes any back."""
    return Usage(
        prompt_tokens=max(known.prompt_tokens, found.prompt_tokens),
        completion_tokens=max(known.completion_tokens, found.completion_tokens),
        calls=max(known.calls, found.calls),
        gpu_seconds=max(known.gpu_seconds, found.gpu_seconds),
    )


def find_overrun(run: EvalRun, spent: Usage) -> Says | None:
    """Return what of spec.budget is used up, in numbers; None: there is room."""
    budget, tokens = run.spec.budget, spent.prompt_tokens + spent.completion_tokens
    over = []
    if budget.tokens and tokens >= budget.tokens:
        over.append(f"{tokens:,} tokens of {budget.tokens:,} used")
    if budget.gpu_hours and spent.gpu_seconds >= budget.gpu_hours * SECONDS_PER_HOUR:
        over.append(f"{spent.gpu_seconds / SECONDS_PER_HOUR:,.1f} GPU hours of {budget.gpu_hours:,} used")
    return Says(False, RunReason.BUDGET_EXHAUSTED, ", ".join(over)) if over else None


def find_budget_room(run: EvalRun, spent: Usage, now: datetime) -> float:
    """Return the seconds that spec.budget is expected to last, at the run's mean pace until now."""
    start, budget = run.status.start_time, run.spec.budget
    age = (now - start).total_seconds() if start is not None else 0.0
    pairs = (
        (budget.tokens, spent.prompt_tokens + spent.completion_tokens),
        (budget.gpu_hours * SECONDS_PER_HOUR, spent.gpu_seconds),
    )
    return min((age * (limit - used) / used for limit, used in pairs if limit and used), default=inf)


def add_spent(run: EvalRun, observed: ObservedRun, now: datetime, step: Step) -> Step:
    """Return the step with what the run has used up by now."""
    seconds, until = count_gpu_seconds(run, observed, now)
    usage = at_least(run.status.usage, step.changes.get("usage", run.status.usage))
    if any(end.truth for end in (step.says.get(t) for t in (RunCondition.COMPLETE, RunCondition.FAILED)) if end):
        until = None
    counted = {"usage": usage.model_copy(update={"gpu_seconds": seconds}), "gpu_counted_at": until}
    return replace(step, changes={**step.changes, **counted})


def without_mere_count(before: EvalRunStatus, after: EvalRunStatus) -> EvalRunStatus:
    """Return the status that is to be written: a step of the clock alone is none, until it is a minute long."""
    since, until = before.gpu_counted_at, after.gpu_counted_at
    if since is None or until is None or until - since >= COUNT_EVERY:
        return after
    usage = after.usage.model_copy(update={"gpu_seconds": before.usage.gpu_seconds})
    return before if after.model_copy(update={"usage": usage, "gpu_counted_at": since}) == before else after


def count_gpu_seconds(run: EvalRun, observed: ObservedRun, now: datetime) -> tuple[int, datetime | None]:
    """Return the GPU seconds of all attempts and until when they are counted; None while nothing runs."""
    known, since, gpus = run.status.usage.gpu_seconds, run.status.gpu_counted_at, _count_gpus(run, observed)
    job = observed.jobs.get(attempt_job(run, current_attempt(run, observed)))
    runs = job is not None and _is_running(observed, job)
    if since is None:
        return known, _find_start(run, job, now) if runs and gpus else None
    until = now if runs else _find_stop(observed, job, now)
    seconds = max(0, int((until - since).total_seconds()))
    return known + seconds * gpus, since + timedelta(seconds=seconds) if runs and gpus else None


def _count_gpus(run: EvalRun, observed: ObservedRun) -> int:
    pools = (observed.pools.get(name) for name in run.spec.roles.pools())
    return sum(pool.gpus for pool in pools if pool is not None and not pool.external)


def _is_running(observed: ObservedRun, job: JobView) -> bool:
    return not (job.has_ended or job.is_suspended) and find_holdup(observed, job.name) is None


def _find_start(run: EvalRun, job: JobView | None, now: datetime) -> datetime:
    # It began, or was admitted, perhaps while nobody looked; a Job that got no pods began without them.
    said = find_condition(run.status.conditions, RunCondition.PROGRESSING)
    was_refused = said is not None and said.reason in (RunReason.QUOTA_EXCEEDED, RunReason.PODS_REFUSED)
    if job is None or job.started_at is None or was_refused:
        return now.replace(microsecond=0)
    # A Job that is resumed shows its old start until its controller has looked.
    rested = find_condition(run.status.conditions, RunCondition.SUSPENDED)
    return min(
        now.replace(microsecond=0), max(job.started_at, rested.last_transition_time if rested else job.started_at)
    )


def _find_stop(observed: ObservedRun, job: JobView | None, now: datetime) -> datetime:
    if job is not None:
        return min(now, job.stopped_at or now)
    # A Job that is gone does not say since when: its shards wrote until then.
    return min(now, max((p.updated_at for p in observed.storage.progress), default=now))
