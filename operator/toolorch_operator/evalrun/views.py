"""Small frozen views of what surrounds a run: pools, Jobs and their pods, with the fields that are used. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from toolorch_api.run_input import Serving
from toolorch_api.shard import ExitCode
from toolorch_operator.evalrun.size import Size

ENDED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class PoolView:
    """A ModelPool that the run's roles name."""

    name: str
    model: str
    served_name: str
    ready: bool = False
    """Condition Ready is True for the pool's current generation."""
    ready_replicas: int = 0
    wanted_replicas: int = 0
    reason: str = ""
    """The pool's own REASON column, else the reason of its condition Ready."""
    external: bool = False
    base_url: str = ""
    key_secret: tuple[str, str] | None = None
    """Secret and key in it with an external pool's API key."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    serving: Serving = field(default_factory=Serving)
    """Provenance, which decides nothing."""
    gpus: int = 0
    """GPUs that all its replicas request."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job of the run."""

    name: str
    uid: str
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    is_complete: bool = False
    is_failed: bool = False
    failure: str = ""
    """Reason and message of the condition Failed."""
    is_suspended: bool = False
    queue: str = ""
    """Kueue's queue that the Job was made for; empty: none."""
    missing_pods: int = 0
    """Pods that the Job controller should have made by now and has not."""
    attempt: int = 0
    """Attempt that the Job is; 0: planning or reporting."""
    size: Size | None = None
    """Of an attempt; None for other Jobs and for those of an older operator."""
    created: datetime | None = None
    started_at: datetime | None = None
    """When it began, or was last resumed; None: it waits."""
    stopped_at: datetime | None = None
    """When it ended, or was last suspended; None: it goes on."""

    @property
    def has_ended(self) -> bool:
        """Whether the Job will start no pod any more."""
        return self.is_complete or self.is_failed


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod of one of the run's Jobs."""

    name: str
    job: str
    step: str = ""
    attempt: int = 0
    phase: str = "Pending"
    exit_code: int | None = None
    message: str = ""
    """Last word of the container, one line."""
    waiting: str = ""
    """Why the pod cannot start, such as ImagePullBackOff or Unschedulable; empty while it merely starts."""
    index: int | None = None
    """Which shard it is; None: its Job has no shards."""
    reason: str = ""
    """Why its container ended, or all of it, in the cluster's word, such as OOMKilled or Evicted."""
    running: tuple[int, ...] = ()
    """Units that were under way when it died, by its last word."""
    node: str = ""
    image_id: str = ""
    """Image of the container that ran, with its digest."""
    started_at: datetime | None = None
    """When its container began; None: it has not, or nobody saw it."""
    finished_at: datetime | None = None
    """When its container ended; None: it has not, or nobody saw it."""
    is_disrupted: bool = False
    """The cluster took it away, as in a drain or a preemption."""
    is_leaving: bool = False
    """Somebody has deleted it."""
    uid: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing runs in the pod any more."""
        return self.phase in ENDED_PHASES

    @property
    def has_failed(self) -> bool:
        """Whether it ended without having done its work; one that gave back its units on SIGTERM has not failed."""
        return self.phase == "Failed" and self.exit_code != ExitCode.DRAINED


@dataclass(frozen=True, slots=True)
class PodLog:
    """What is left of a pod's output."""

    text: str = ""
    """Its end, without secrets."""
    problem: str = ""
    """Why there is none; empty: this is it."""
