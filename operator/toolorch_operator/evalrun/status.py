"""The next status of a run and the Events of its transitions, from a step and the status before. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from toolorch_api.conditions import Condition, RunCondition, RunReason, find_condition, is_true, with_condition
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_operator.evalrun.settled import is_finished
from toolorch_operator.evalrun.step import Says, Step
from toolorch_operator.plan import Event

# What each condition says before anything is known; every condition stands in every status.
AT_FIRST: Mapping[RunCondition, Says] = {
    RunCondition.POOLS_READY: Says(None, RunReason.NOT_STARTED),
    RunCondition.PLANNED: Says(False, RunReason.NOT_STARTED),
    RunCondition.PROGRESSING: Says(False, RunReason.NOT_STARTED),
    RunCondition.STALLED: Says(False, RunReason.NOT_STALLED),
    RunCondition.RESULTS_COMPLETE: Says(False, RunReason.NOT_STARTED),
    RunCondition.REPORT_READY: Says(False, RunReason.NOT_STARTED),
    RunCondition.COMPLETE: Says(False, RunReason.NOT_STARTED),
    RunCondition.FAILED: Says(False, RunReason.NOT_STARTED),
    RunCondition.SUSPENDED: Says(False, RunReason.NOT_SUSPENDED),
}
TERMINATION_MESSAGE = 500
"""Characters of a pod's own words that go into a condition."""
QUIET_REASONS = frozenset(
    {
        RunReason.RUNNING,
        RunReason.PLANNING,
        RunReason.AUDITING,
        RunReason.NO_UNIT_ENDED,
        RunReason.RUN_COMPLETE,
        RunReason.RUN_FAILED,
    }
)
"""Reasons of Progressing that another condition's Event tells already."""
BAD_REASONS = frozenset(
    {
        RunReason.STORAGE_UNAVAILABLE,
        RunReason.REPORT_FAILED,
        RunReason.QUOTA_EXCEEDED,
        RunReason.PODS_REFUSED,
        RunReason.GATE_BREACHED,
        RunReason.BASELINE_UNAVAILABLE,
        RunReason.BASELINE_DIFFERS,
    }
)
"""Reasons whose Event is a warning."""
SILENT_GATES = frozenset({"", RunReason.NOT_STARTED, RunReason.REPORT_FAILED})
"""Reasons of GatePassed that tell nothing new; empty: a run without a gate."""
BAD_WHEN_TRUE = frozenset({RunCondition.FAILED, RunCondition.RESULTS_SUSPECT, RunCondition.STALLED})
TOLD_WHEN_TRUE = (
    RunCondition.PLANNED,
    RunCondition.STALLED,
    RunCondition.REPORT_READY,
    RunCondition.RESULTS_SUSPECT,
    RunCondition.COMPLETE,
    RunCondition.FAILED,
)


def compute_status(run: EvalRun, step: Step, now: datetime) -> EvalRunStatus:
    """Return the status after a step: its changes, every condition, and the columns made of them."""
    says = {**{t: _repeat(run.status, t) or first for t, first in AT_FIRST.items()}, **step.says}
    # The gate may be taken out of a spec while the run goes on.
    conditions = [c for c in run.status.conditions if run.spec.gate or c.type != RunCondition.GATE_PASSED]
    moment = now.replace(microsecond=0)
    for type_, said in says.items():
        conditions = with_condition(
            conditions, type_, said.truth, said.reason, said.message, generation=run.metadata.generation, now=moment
        )
    status = run.status.model_copy(update={**step.changes, "conditions": conditions})
    units, ended = status.units, moment if is_finished(status) else None
    columns = {
        "completion_time": status.completion_time or ended,
        "observed_generation": run.metadata.generation,
        "done": f"{units.done}/{units.total}" if units.total else "",
        "reason": _headline(conditions),
        "tokens": status.usage.prompt_tokens + status.usage.completion_tokens,
    }
    return status.model_copy(update=columns)


def build_events(before: EvalRunStatus, after: EvalRunStatus) -> tuple[Event, ...]:
    """Return an Event per transition; counts that move tell nothing."""
    events = [_tell(after, t) for t in TOLD_WHEN_TRUE if _became_true(before, after, t)]
    if after.attempt > before.attempt:
        events.append(_tell(after, RunCondition.PROGRESSING))
    elif _reason(before, RunCondition.PROGRESSING) != _reason(after, RunCondition.PROGRESSING):
        events += _tell_progressing(after)
    if _reason(after, RunCondition.REPORT_READY) == RunReason.REPORT_FAILED:
        events += _tell_once(before, after, RunCondition.REPORT_READY)
    if _reason(after, RunCondition.GATE_PASSED) not in SILENT_GATES:
        events += _tell_once(before, after, RunCondition.GATE_PASSED)
    return (*events, *_tell_recovery(before, after), *_tell_quarantined(before, after))


def _tell_recovery(before: EvalRunStatus, after: EvalRunStatus) -> list[Event]:
    was_stalled = is_true(before.conditions, RunCondition.STALLED)
    is_over = is_finished(after) or is_true(after.conditions, RunCondition.SUSPENDED)
    if not was_stalled or is_over or _reason(before, RunCondition.STALLED) != RunReason.NO_UNIT_ENDED:
        return []
    goes_on = not is_true(after.conditions, RunCondition.STALLED)
    return [Event(RunReason.NOT_STALLED, f"units end again: {after.done} done")] if goes_on else []


def _tell_quarantined(before: EvalRunStatus, after: EvalRunStatus) -> list[Event]:
    count = after.units.quarantined - before.units.quarantined
    if count <= 0:
        return []
    names = ", ".join(name for name in after.quarantined if name not in before.quarantined)
    what = "1 unit that kept" if count == 1 else f"{count} units that kept"
    return [Event(RunReason.UNITS_QUARANTINED, f"{what} killing what ran it: {names or 'more'}", "Warning")]


def _tell_progressing(after: EvalRunStatus) -> list[Event]:
    quiet = _reason(after, RunCondition.PROGRESSING) in QUIET_REASONS
    return [] if quiet else [_tell(after, RunCondition.PROGRESSING)]


def _tell_once(before: EvalRunStatus, after: EvalRunStatus, type_: RunCondition) -> list[Event]:
    return [] if _reason(before, type_) == _reason(after, type_) else [_tell(after, type_)]


def _tell(status: EvalRunStatus, type_: RunCondition) -> Event:
    said = find_condition(status.conditions, type_)
    assert said is not None  # every condition stands in every status
    bad = type_ in BAD_WHEN_TRUE or said.reason in BAD_REASONS
    return Event(said.reason, said.message or said.reason, "Warning" if bad else "Normal")


def _became_true(before: EvalRunStatus, after: EvalRunStatus, type_: RunCondition) -> bool:
    return is_true(after.conditions, type_) and not is_true(before.conditions, type_)


def _reason(status: EvalRunStatus, type_: RunCondition) -> str:
    found = find_condition(status.conditions, type_)
    return found.reason if found else ""


def _repeat(status: EvalRunStatus, type_: RunCondition) -> Says | None:
    found = find_condition(status.conditions, type_)
    if found is None:
        return None
    truth = {"True": True, "False": False}.get(found.status)
    return Says(truth, found.reason, found.message)


def _headline(conditions: list[Condition]) -> str:
    if is_true(conditions, RunCondition.COMPLETE):
        return RunReason.RUN_COMPLETE
    failed = is_true(conditions, RunCondition.FAILED)
    said = find_condition(conditions, RunCondition.FAILED if failed else RunCondition.PROGRESSING)
    if said is None or (said.status == "True" and not failed) or not said.message:
        return said.reason if said else ""
    return f"{said.reason}: {said.message}"
