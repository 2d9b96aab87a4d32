"""The status of an EvalRun: how far it is, and the score."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from toolorch_api.conditions import Condition
from toolorch_api.meta import StatusModel


class UnitCounts(StatusModel):
    """Units by outcome."""

    total: int = 0
    done: int = 0
    """Units with a final outcome: passed or failed."""
    passed: int = 0
    failed: int = 0
    """The model's doing."""
    infra_errors: int = 0
    """Not the model's doing."""
    quarantined: int = 0
    """Set aside, since they kept killing what ran them."""
    running: int = 0


class Usage(StatusModel):
    """What a run has used up, lost work included."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    gpu_seconds: int = 0


class EvalRunStatus(StatusModel):
    """How far a run is, and the score."""

    observed_generation: int = 0
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)
    start_time: datetime | None = None
    completion_time: datetime | None = None
    attempt: int = 0
    """Number of the newest attempt; 0: none yet."""
    attempts_before: int = 0
    """Attempts made before a raised limit resumed the run: spec.retry counts from there."""
    replaced: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)
    """Shards whose pod was replaced because it made no progress, as <attempt>-<shard>: each once."""
    quarantined: Annotated[list[str], Field(max_length=20)] = Field(default_factory=list)
    """The first units that were set aside, as <variant>/<domain>/<task>/<trial>."""
    gpu_counted_at: datetime | None = None
    """Until when usage.gpuSeconds is counted; absent while nothing runs."""
    expired: bool = False
    """Whether the run's Jobs were deleted, since ttlSecondsAfterFinished has passed."""
    eta: str = ""
    """Expected end, such as 12m: the ETA column."""
    done: str = ""
    """Units done of all, such as 231/278: the DONE column."""
    reason: str = ""
    """What holds the run up, or how it ended: the REASON column."""
    units: UnitCounts = UnitCounts()
    score: str = ""
    """Mean reward over scored units, three decimals."""
    score_scheduled: str = ""
    """Mean reward over all units of the manifest, an unscored one counting 0."""
    interval: str = ""
    """95 % Wilson interval of the score, such as 0.32–0.58."""
    interval_scheduled: str = ""
    """95 % Wilson interval of scoreScheduled."""
    pass_hat_k: dict[str, str] = Field(default_factory=dict)
    """pass^k by k."""
    pass_hat_k_tasks: dict[str, str] = Field(default_factory=dict)
    """Tasks with at least k scored trials of those with k trials, by k, such as 12 of 20."""
    usage: Usage = Usage()
    tokens: int = 0
    """Prompt and completion tokens: the TOKENS column."""
    results: str = ""
    """URI of the folder of this run."""
    report: str = ""
    """URI of report.html."""
    spec_hash: str = ""
    """Hash of what changes results."""
