"""The limits of a run: retries, deadlines, acceptance, budget, gate, and how long children stay."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from toolorch_api.meta import ApiModel, Rule

Percent = Annotated[int, Field(ge=0, le=100)]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]


class Retry(ApiModel):
    """How often a unit is tried whose failure was not the model's."""

    infra: Annotated[int, Field(ge=0, le=20)] = 3
    """Further attempts at units that ended with an infra error."""
    quarantine_after: Annotated[int, Field(ge=1, le=20)] = 3
    """Pods that a unit may kill before it is set aside."""


class Deadlines(ApiModel):
    """Time limits, in seconds."""

    call_seconds: Seconds = 600
    """One model call."""
    unit_seconds: Seconds = 3600
    """One unit."""
    run_seconds: Seconds = 86400
    """The whole run."""

    rules: ClassVar = (
        Rule(
            "self.callSeconds <= self.unitSeconds && self.unitSeconds <= self.runSeconds",
            "deadlines must not shrink outwards: callSeconds <= unitSeconds <= runSeconds",
            lambda d: d.call_seconds <= d.unit_seconds <= d.run_seconds,
        ),
    )


class Acceptance(ApiModel):
    """When a run counts as complete."""

    min_coverage: Percent = 100
    """Percent of units that must be scored."""
    max_infra_errors: Percent = 0
    """Percent of units that may end with an infra error."""


class Budget(ApiModel):
    """What a run may use up; 0: no limit."""

    tokens: Annotated[int, Field(ge=0)] = 0
    """Prompt and completion tokens."""
    gpu_hours: Annotated[int, Field(ge=0)] = 0
    """Hours of GPUs of its pools."""


class Gate(ApiModel):
    """Comparison with an earlier run."""

    baseline: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of a complete EvalRun in the same namespace; for toolorch run also a run's folder or URI."""
    max_drop: Annotated[int, Field(ge=0, le=100)] = 2
    """Percentage points by which the score may be lower; the 95 % interval of the difference must clear them."""


class TtlSecondsAfterFinished(ApiModel):
    """How long children of a finished run stay, in seconds."""

    complete: Annotated[int, Field(ge=0, le=31_536_000)] = 86400
    failed: Annotated[int, Field(ge=0, le=31_536_000)] = 604800
