"""The status of a ModelPool: what the operator saw and what it changed."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from toolorch_api.conditions import Condition
from toolorch_api.meta import StatusModel

MAX_REMEDIATIONS = 10


class InstanceState(StrEnum):
    """Where a replica is in its life."""

    PENDING = "Pending"
    WAITING_FOR_SLOT = "WaitingForSlot"
    STARTING = "Starting"
    NOT_USEFUL = "NotUseful"
    """It serves, and has not passed its preflight."""
    READY = "Ready"
    CRASHED = "Crashed"
    DRAINING = "Draining"


class FetchState(StrEnum):
    """Where the fetch of a model is."""

    NOT_NEEDED = "NotNeeded"
    WAITING = "Waiting"
    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"


class Effective(StatusModel):
    """The settings that run now, after remediation."""

    gpu_memory_utilization: int | None = None
    """Percent."""
    max_model_len: int | None = None
    """Tokens."""
    max_num_seqs: int | None = None
    """Sequences."""
    max_num_batched_tokens: int | None = None
    """Tokens."""
    memory: str | None = None
    """Memory request and limit of a replica."""


class Served(StatusModel):
    """What the servers say of themselves in /v1/models and /version."""

    id: str = ""
    max_model_len: int | None = None
    engine_version: str = ""
    image_id: Annotated[str, Field(max_length=1024)] = ""
    """Image of the servers with its digest."""
    revision: Annotated[str, Field(max_length=255)] = ""
    """Commit of the model's repository, where the fetch has told it."""
    arguments: Annotated[list[str], Field(max_length=256)] = Field(default_factory=list)
    """Command line of the servers, after remediation."""


class Instance(StatusModel):
    """One replica."""

    name: str
    node: str = ""
    """Where it runs, or where it is to run."""
    state: InstanceState = InstanceState.PENDING
    since: datetime | None = None
    """When it came into this state."""
    url: str = ""
    """OpenAI base URL."""
    proven: Annotated[str, Field(max_length=253)] = ""
    """Start of the server that passed its preflight: pod UID, restart count, and hash of what was asked."""


class RemediationRecord(StatusModel):
    """One change of settings after a crash."""

    time: datetime
    instance: str
    signature: str
    """Crash class, such as CAPTURE_OOM."""
    field: str
    from_: Annotated[str, Field(alias="from")]
    to: str


class Ladder(StatusModel):
    """What the ladder must not forget: written before the change that it justifies."""

    generation: int = 0
    """Generation of the spec at which the counts began."""
    spec_hash: str = ""
    """Hash of the spec's fields that bear on memory; a new one starts afresh, which a mere scaling does not."""
    attempts: int = 0
    """Changes made since then."""
    last_crash: str = ""
    """Newest crash counted: pod UID and restart count."""
    superseded: Annotated[str, Field(max_length=63)] = ""
    """Hash of the pod template that the last change replaced; a crash of its pods is about earlier settings."""
    too_low: int | None = None
    """Highest percent of gpuMemoryUtilization at which the KV cache did not fit."""
    too_high: int | None = None
    """Lowest percent of gpuMemoryUtilization that ran out of memory."""
    steps: Annotated[dict[str, int], Field(max_length=64)] = Field(default_factory=dict)
    """Remedies tried since then, by crash class and remedy, such as CUDA_OOM/GpuMemoryUtilization; restarts also by
    replica, such as RACE/Restart/orchestrator-0."""
    counted: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)
    """Crashes counted already: pod UID and restart count."""


class RejectedNode(StatusModel):
    """A node that cannot take a replica, and why."""

    node: str
    why: str


class Fetch(StatusModel):
    """How far the model's files are fetched into the cache."""

    state: FetchState = FetchState.NOT_NEEDED
    job: str = ""
    """Name of the Job that fetches, in the pool's namespace; another pool's where both share cache and model."""
    done_gib: Annotated[str | None, Field(alias="doneGiB")] = None
    total_gib: Annotated[str | None, Field(alias="totalGiB")] = None
    weights_gib: Annotated[str | None, Field(alias="weightsGiB")] = None
    """Size of the weights among the files, known once they are there."""
    message: Annotated[str, Field(max_length=1024)] = ""


class Fit(StatusModel):
    """Whether the weights fit."""

    needed_gib: Annotated[str | None, Field(alias="neededGiB")] = None
    per_gpu_gib: Annotated[str | None, Field(alias="perGpuGiB")] = None
    candidates: Annotated[list[str], Field(max_length=64)] = Field(default_factory=list)
    rejected: Annotated[list[RejectedNode], Field(max_length=64)] = Field(default_factory=list)


class Lease(StatusModel):
    """A run that uses the pool."""

    run: str
    since: datetime


class ModelPoolStatus(StatusModel):
    """What the operator saw of a pool, and what it changed."""

    observed_generation: int = 0
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)
    replicas: int = 0
    ready_replicas: int = 0
    ready: str = ""
    """Ready of wanted replicas, such as 3/4: the READY column."""
    reason: str = ""
    """What holds the pool up: the REASON column."""
    selector: str = ""
    """Label selector of the servers' pods, for the scale subresource."""
    effective: Effective = Effective()
    served: Served = Served()
    instances: Annotated[list[Instance], Field(max_length=1000)] = Field(default_factory=list)
    remediations: Annotated[list[RemediationRecord], Field(max_length=MAX_REMEDIATIONS)] = Field(default_factory=list)
    ladder: Ladder = Ladder()
    fit: Fit = Fit()
    fetch: Fetch = Fetch()
    idle_since: datetime | None = None
    """Since when no run has used the pool; absent while one does, or where idleAfterSeconds is 0."""
    endpoints: str = ""
    """Name of the endpoints ConfigMap."""
    gpus: int = 0
    """GPUs that all replicas request: the GPUS column."""
    nodes: str = ""
    """Nodes that replicas run on, comma-separated: the NODE(S) column."""
    leases: Annotated[list[Lease], Field(max_length=64)] = Field(default_factory=list)
