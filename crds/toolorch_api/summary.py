"""What a report says in a few lines: the head of report/summary.json, which the operator copies into status."""

from __future__ import annotations

from pydantic import Field

from toolorch_api.conditions import RunReason
from toolorch_api.evalrun_status import Usage
from toolorch_api.meta import StatusModel


class GateOutcome(StatusModel):
    """What spec.gate makes of a run's score."""

    passed: bool | None = None
    """None: unknown."""
    reason: RunReason
    message: str


class Summary(StatusModel):
    """The head of report/summary.json: what the operator copies into status."""

    spec_hash: str
    total: int
    scored: int
    passed: int
    failed: int
    infra_errors: int
    score: str
    score_scheduled: str
    interval: str
    interval_scheduled: str = ""
    """95 % Wilson interval of score_scheduled."""
    pass_hat_k: dict[str, str] = Field(default_factory=dict)
    pass_hat_k_tasks: dict[str, str] = Field(default_factory=dict)
    """Which tasks each of them is over, such as 12 of 20."""
    usage: Usage = Usage()
    attempt: int = 0
    """Newest attempt when it was written: a run that is resumed gets another."""
    quarantined: int = 0
    """Units that were set aside since they killed what ran them."""
    refused: int = 0
    """Result objects that are another configuration's or another unit's, or that nobody can read."""
    refusal: str = ""
    """What was refused and why, as a sentence; empty: nothing."""
    suspect: list[str] = Field(default_factory=list)
    gate: GateOutcome | None = None
    """None without spec.gate."""
