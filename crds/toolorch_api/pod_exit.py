"""How a failed pod of a run ended: attempts/<attempt>/<shard or step>/<pod>/exit.json, beside its log."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from toolorch_api.meta import StatusModel


class PodExit(StatusModel):
    """What is left to know of a pod once the cluster has forgotten it; created once, never overwritten."""

    v: int = 1
    spec_hash: str
    attempt: int
    """0: planning."""
    step: str
    shard: int | None = None
    """None: the step has no shards."""
    pod: str
    exit_code: int | None = None
    """None: its container never began, or nobody saw it end."""
    reason: str = ""
    """The cluster's word for it, such as OOMKilled or Evicted."""
    message: str = ""
    """The container's last word."""
    running: list[int] = Field(default_factory=list)
    """Indexes into the manifest of the units that were under way."""
    disrupted: bool = False
    """The cluster took the pod away, as in a drain or a preemption."""
    node: str = ""
    image_id: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log: str = ""
    """Why there is no pod.log; empty: it is there, or the container has printed nothing."""
