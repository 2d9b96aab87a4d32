"""What the same command makes of a run that an earlier one left: it goes on, begins again, or has ended."""

from __future__ import annotations

from datetime import UTC, datetime

from toolorch_api.conditions import RunCondition, is_true, with_condition
from toolorch_api.evalrun import EvalRun
from toolorch_evaluator.cli.display import Display
from toolorch_evaluator.cli.folder import RunFolder
from toolorch_operator.evalrun.budget import find_overrun
from toolorch_operator.evalrun.reopening import begin_again
from toolorch_operator.evalrun.settled import is_settled
from toolorch_operator.evalrun.status import compute_status


def take_up(run: EvalRun, folder: RunFolder, display: Display) -> EvalRun:
    """Return the run with the status of an earlier command; a failed one goes on, unless its budget is used up."""
    status = folder.read_status()
    if is_true(status.conditions, RunCondition.FAILED):
        overrun = find_overrun(run, status.usage)
        if overrun is not None:
            display.say(f"{run.metadata.name}: {overrun.message}; with a larger spec.budget it goes on")
            return run.model_copy(update={"status": status})
        display.say(f"{run.metadata.name} failed before: {status.reason}; trying what is missing")
        folder.forget_deaths()
        return _begun_again(run.model_copy(update={"status": status}))
    if status.units.total and not is_settled(status):
        display.say(f"{run.metadata.name}: resuming at {folder.count_results()}/{status.units.total}")
    if status.conditions and not is_settled(status):
        # As after spec.suspend: the time in between does not count towards deadlines.runSeconds.
        conditions = with_condition(
            status.conditions, RunCondition.SUSPENDED, True, "Suspended", generation=1, now=datetime.now(UTC)
        )
        status = status.model_copy(update={"conditions": conditions})
    return run.model_copy(update={"status": status})


def _begun_again(run: EvalRun) -> EvalRun:
    """Return a failed run as it goes on: retries and deadlines.runSeconds count anew, what was spent stays counted."""
    status = compute_status(run, begin_again(run, "the command was given again"), datetime.now(UTC))
    return run.model_copy(update={"status": status.model_copy(update={"start_time": None})})
