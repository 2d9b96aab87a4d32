"""The vocabulary of conditions: types and reasons as enums, and pure functions that set and read them.

Reasons are API: stable, CamelCase, listed in docs/concepts.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from toolorch_api.meta import StatusModel


class Truth(StrEnum):
    """A condition's status."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class RunCondition(StrEnum):
    """Condition types of an EvalRun; `Complete` and `Failed` are terminal.

    `Complete` says that results are audited and the score is final; `ReportReady` follows when the report is written.
    """

    POOLS_READY = "PoolsReady"
    PLANNED = "Planned"
    PROGRESSING = "Progressing"
    STALLED = "Stalled"
    RESULTS_COMPLETE = "ResultsComplete"
    RESULTS_SUSPECT = "ResultsSuspect"
    REPORT_READY = "ReportReady"
    GATE_PASSED = "GatePassed"
    COMPLETE = "Complete"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class RunReason(StrEnum):
    """Reasons of an EvalRun's conditions."""

    WAITING_FOR_POOLS = "WaitingForPools"
    WAITING_FOR_SECRET = "WaitingForSecret"
    WAITING_FOR_QUEUE = "WaitingForQueue"
    QUOTA_EXCEEDED = "QuotaExceeded"
    PODS_REFUSED = "PodsRefused"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    POOLS_READY = "PoolsReady"
    PLANNING = "Planning"
    PLANNED = "Planned"
    PLAN_FAILED = "PlanFailed"
    RUNNING = "Running"
    AUDITING = "Auditing"
    REPORTING = "Reporting"
    REPORT_FAILED = "ReportFailed"
    REPORT_WRITTEN = "ReportWritten"
    RESULTS_LOOK_BROKEN = "ResultsLookBroken"
    RESULTS_PLAUSIBLE = "ResultsPlausible"
    BAD_INPUT = "BadInput"
    UNITS_MISSING = "UnitsMissing"
    ALL_UNITS_SCORED = "AllUnitsScored"
    COVERAGE_BELOW_MINIMUM = "CoverageBelowMinimum"
    INFRA_ERRORS_ABOVE_MAXIMUM = "InfraErrorsAboveMaximum"
    RUN_COMPLETE = "RunComplete"
    RUN_FAILED = "RunFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    BUDGET_EXHAUSTED = "BudgetExhausted"
    UNITS_QUARANTINED = "UnitsQuarantined"
    NO_UNIT_ENDED = "NoUnitEnded"
    STRAGGLER_REPLACED = "StragglerReplaced"
    SUSPENDED = "Suspended"
    NOT_SUSPENDED = "NotSuspended"
    NOT_STALLED = "NotStalled"
    INVALID_SPEC = "InvalidSpec"
    SPEC_CHANGED = "SpecChanged"
    NO_OUTPUT = "NoOutput"
    NOT_STARTED = "NotStarted"
    GATE_HELD = "GateHeld"
    GATE_BREACHED = "GateBreached"
    GATE_INCONCLUSIVE = "GateInconclusive"
    BASELINE_UNAVAILABLE = "BaselineUnavailable"
    BASELINE_DIFFERS = "BaselineDiffers"


class Condition(StatusModel):
    """One condition, as in Kubernetes' API conventions."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    status: Truth
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    message: Annotated[str, Field(max_length=32768)] = ""
    last_transition_time: datetime
    observed_generation: Annotated[int, Field(ge=0)] = 0


def with_condition(
    conditions: Iterable[Condition],
    type_: str,
    status: Truth | bool | None,
    reason: str,
    message: str = "",
    *,
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Return the conditions with one of them set; lastTransitionTime moves only when the status flips.

    `status` None means Unknown. The order is that of first appearance.
    """
    truth = Truth.UNKNOWN if status is None else status if isinstance(status, Truth) else Truth(str(status))
    existing = list(conditions)
    before = find_condition(existing, type_)
    since = before.last_transition_time if before is not None and before.status == truth else now
    new = Condition(
        type=type_,
        status=truth,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=generation,
    )
    if before is None:
        return [*existing, new]
    return [new if c.type == type_ else c for c in existing]


def find_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of a type, or None."""
    return next((c for c in conditions if c.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: str) -> bool:
    """Tell whether a condition is there and True."""
    found = find_condition(conditions, type_)
    return found is not None and found.status is Truth.TRUE
