"""When no unit of a run ends any more, and which shard hangs: said until it is visibly over, mended once. PURE.

What is known to hold a run up (a queue, a quota, storage, suspension) is said where it is found, and is no stall.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median

from toolorch_api.conditions import Condition, RunCondition, RunReason, Truth, find_condition
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import UnitCounts
from toolorch_api.shard import Progress
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.attempts import current_attempt
from toolorch_operator.evalrun.names import attempt_job
from toolorch_operator.evalrun.observed import ObservedRun, PodView
from toolorch_operator.evalrun.pools import say_pools
from toolorch_operator.evalrun.step import Says, Step
from toolorch_operator.plan import Event, Ref

MEDIANS = 5
"""A unit may take so many times the median: of log-normal lengths with σ = 1 one in twenty does."""
ENDS_TO_RECOVER = 3
"""Units that end before a stall is over: a hung server lets one through now and then, and each would be an incident."""
REPLACED_LISTED = 64
"""Replaced shards that status lists, as its schema bounds them."""
NOT_STALLED = Says(False, RunReason.NOT_STALLED)


def keep_stall(run: EvalRun) -> Says:
    """Return what Stalled says where a look cannot tell: a stall goes on until units end, or the run is suspended."""
    before = _stalled(run)
    return NOT_STALLED if before is None or run.spec.suspend else Says(True, before.reason, before.message)


def add_stall(run: EvalRun, observed: ObservedRun, defaults: Defaults, step: Step, now: datetime) -> Step:
    """Return the step of a running attempt with what Stalled says, and without the pods of shards that hang."""
    patience = find_patience(run, observed, defaults)
    said = say_stall(run, observed, step.changes["units"], patience, now)
    says = {**step.says, RunCondition.STALLED: said, RunCondition.RESULTS_COMPLETE: Says(False, RunReason.RUNNING)}
    if said.truth:
        going = step.says[RunCondition.PROGRESSING]
        says[RunCondition.PROGRESSING] = Says(False, said.reason, f"{said.message}; {going.message}")
    return _replace(run, observed, replace(step, says=says), find_stragglers(run, observed, patience, now))


def find_patience(run: EvalRun, observed: ObservedRun, defaults: Defaults) -> timedelta:
    """Return how long no unit may end before that is a stall."""
    typical = _median(observed.storage.progress) or 0.0
    return timedelta(seconds=max(defaults.run_stall_seconds, MEDIANS * typical, run.spec.deadlines.call_seconds))


def say_stall(run: EvalRun, observed: ObservedRun, units: UnitCounts, patience: timedelta, now: datetime) -> Says:
    """Return what Stalled says: True once no unit has ended for too long, and until some have ended again."""
    progress, before = observed.storage.progress, _stalled(run)
    ends = [end for shard in progress for end in shard.recent_ends]
    quiet = now - max([_find_start(run, observed, now), *ends])
    if before is None:
        return (
            Says(True, RunReason.NO_UNIT_ENDED, _describe(run, observed, quiet, now))
            if quiet > patience
            else NOT_STALLED
        )
    ended = sum(end > before.last_transition_time for end in ends)
    left = units.total - units.done - units.quarantined
    if ended >= min(ENDS_TO_RECOVER, left + ended):
        return NOT_STALLED
    words = f"{ended} unit{'s' if ended > 1 else ''} ended since the run stalled"
    return Says(True, RunReason.NO_UNIT_ENDED, words if ended else _describe(run, observed, quiet, now))


def find_stragglers(
    run: EvalRun, observed: ObservedRun, patience: timedelta, now: datetime
) -> list[tuple[PodView, str]]:
    """Return the running pods of shards that hang, each with the reason; none while a pool of the run is not ready."""
    if not say_pools(run, observed).truth:
        return []
    attempt = current_attempt(run, observed)
    told = {p.shard: p for p in observed.storage.progress if p.attempt == attempt}
    found = []
    for pod in observed.live_pods(attempt_job(run, attempt)):
        began = pod.started_at
        if pod.index is None or began is None or pod.is_leaving or _name(attempt, pod) in run.status.replaced:
            continue
        since = max(began, _find_reachable(run, now))
        why = _find_hang(told.get(pod.index), since, patience, now)
        if why:
            found.append((pod, f"shard {pod.index} of attempt {attempt}: {why}"))
    return found


def _find_hang(shard: Progress | None, since: datetime, patience: timedelta, now: datetime) -> str:
    """Return why a shard hangs that could work since a moment; empty: it does not."""
    if shard is None or now - max(since, shard.updated_at) > patience:
        silent = now - (since if shard is None else max(since, shard.updated_at))
        return f"it wrote no progress for {span(silent)}" if silent > patience else ""
    signs = [since, *shard.recent_ends, *([shard.last_answer_at] if shard.last_answer_at else [])]
    if shard.finished or not shard.running or now - max(signs) <= patience:
        return ""
    return f"{shard.running} running, and for {span(now - max(signs))} no unit ended and no model answered"


def _replace(run: EvalRun, observed: ObservedRun, step: Step, stragglers: list[tuple[PodView, str]]) -> Step:
    attempt = current_attempt(run, observed)
    known = [name for name in run.status.replaced if name.startswith(f"{attempt}-")]
    # Where status has no room to remember a shard, it is left alone.
    chosen = stragglers[: max(0, REPLACED_LISTED - len(known))]
    if not chosen:
        return step
    return replace(
        step,
        changes={**step.changes, "replaced": known + [_name(attempt, pod) for pod, _ in chosen]},
        delete=(*step.delete, *(Ref("Pod", pod.name, pod.uid) for pod, _ in chosen)),
        events=tuple(
            Event(RunReason.STRAGGLER_REPLACED, f"{why}; its pod {pod.name} is replaced", "Warning")
            for pod, why in chosen
        ),
        status_first=True,
    )


def _find_start(run: EvalRun, observed: ObservedRun, now: datetime) -> datetime:
    """Return since when units could have ended."""
    job = observed.jobs.get(attempt_job(run, current_attempt(run, observed)))
    rested = find_condition(run.status.conditions, RunCondition.SUSPENDED)
    moments = [_find_reachable(run, now), run.status.start_time or now]
    moments += [m for m in (job.created, job.started_at) if m is not None] if job is not None else []
    return max([*moments, rested.last_transition_time] if rested is not None else moments)


def _find_reachable(run: EvalRun, now: datetime) -> datetime:
    """Return since when storage can be read: what was written while it was away, nobody has seen."""
    said = find_condition(run.status.conditions, RunCondition.RESULTS_COMPLETE)
    return now if said is None or said.status is Truth.UNKNOWN else said.last_transition_time


def _stalled(run: EvalRun) -> Condition | None:
    found = find_condition(run.status.conditions, RunCondition.STALLED)
    is_ours = found is not None and found.status is Truth.TRUE and found.reason == RunReason.NO_UNIT_ENDED
    return found if is_ours else None


def _describe(run: EvalRun, observed: ObservedRun, quiet: timedelta, now: datetime) -> str:
    progress = observed.storage.progress
    typical, pools = _median(progress), say_pools(run, observed)
    answers = [p.last_answer_at for p in progress if p.last_answer_at is not None]
    parts = [f"no unit ended for {span(quiet)}"]
    parts += [f"the median unit takes {span(timedelta(seconds=typical))}"] if typical is not None else []
    parts += [f"a model last answered {span(now - max(answers))} ago"] if answers else []
    return "; ".join(parts if pools.truth else [*parts, pools.message])


def _median(progress: tuple[Progress, ...]) -> float | None:
    seconds = [s for shard in progress for s in shard.recent_seconds]
    return median(seconds) if seconds else None


def _name(attempt: int, pod: PodView) -> str:
    return f"{attempt}-{pod.index}"


def span(time: timedelta) -> str:
    """Return a duration in the largest unit that says enough: 45 s, 14 min, 3.5 h."""
    seconds = max(0.0, time.total_seconds())
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
