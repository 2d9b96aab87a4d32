"""When a run is over: finished is a verdict, settled means that its report is decided too. PURE."""

from __future__ import annotations

from toolorch_api.conditions import RunCondition, RunReason, find_condition, is_true
from toolorch_api.evalrun_status import EvalRunStatus


def is_finished(status: EvalRunStatus) -> bool:
    """Whether the run is Complete or Failed: only a raised limit takes back Failed (reopening.py)."""
    return is_true(status.conditions, RunCondition.COMPLETE) or is_true(status.conditions, RunCondition.FAILED)


def is_settled(status: EvalRunStatus) -> bool:
    """Whether nothing is left to do: finished, and the report is there or will never be."""
    report = find_condition(status.conditions, RunCondition.REPORT_READY)
    return is_finished(status) and (report is None or report.reason != RunReason.REPORTING)
