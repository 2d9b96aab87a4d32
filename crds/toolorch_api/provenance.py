"""attempts/<attempt>/provenance.json: what served a run's models when an attempt began."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from toolorch_api.meta import StatusModel
from toolorch_api.run_input import PoolInput


class AttemptProvenance(StatusModel):
    """Created once with the attempt's assignment, and never overwritten; holds no secret."""

    v: int = 1
    spec_hash: str
    attempt: int
    began_at: datetime
    evaluator_image: str = ""
    """Image of the run's own pods with its digest; empty where nobody knows."""
    pools: dict[str, PoolInput] = Field(default_factory=dict)
    """By name."""
