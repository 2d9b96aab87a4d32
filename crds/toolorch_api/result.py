"""How a unit ended: the object that stands for it in storage."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from toolorch_api.evalrun_status import Usage
from toolorch_api.meta import StatusModel

SCHEMA_VERSION = 1


class UnitStatus(StrEnum):
    """How a unit ended; only passed and failed are final."""

    PASSED = "passed"
    FAILED = "failed"
    INFRA_ERROR = "infra_error"


class Result(StatusModel):
    """results/<unit>.json, or errors/<unit>.json for an infra error."""

    v: int = SCHEMA_VERSION
    variant: str
    domain: str
    task_id: str
    trial: int
    status: UnitStatus
    reward: float | None = None
    reward_breakdown: dict[str, float] = Field(default_factory=dict)
    termination_reason: str = ""
    profile: str = ""
    """Whose rules it was held and graded by, where the benchmark has several."""
    cause: str = ""
    """Cause of an infra error, such as model_unreachable or unit_deadline."""
    message: str = ""
    started_at: datetime
    ended_at: datetime
    usage: Usage = Usage()
    tool_calls: int = 0
    """Tool calls that the agent made."""
    calls: dict[str, int] = Field(default_factory=dict)
    """Answered model calls by role."""
    endpoints: list[str] = Field(default_factory=list)
    """Endpoints that answered, as pool/name."""
    served: dict[str, str] = Field(default_factory=dict)
    """Served model id by role."""
    counts: dict[str, int] = Field(default_factory=dict)
    """How often what happened in the conversation, as the benchmark names it, such as search_retrieval_unavailable."""
    verdict: dict[str, Any] = Field(default_factory=dict)
    """What a judge decided; empty where none was asked."""
    outputs: str = ""
    """Hash of all that the agent wrote; equal texts and tool calls have equal ones. Empty: unknown."""
    tools_offered: bool = True
    """Whether the agent could have called a tool."""
    endpoint: str = ""
    """Endpoint of the call that got no answer, as pool/name; of an infra error, the one that raised it."""
    spec_hash: str
    attempt: int
    shard: int
    pod: str
