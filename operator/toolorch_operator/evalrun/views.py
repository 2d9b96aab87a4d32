"""Small frozen views of what surrounds a run: pools, Jobs and their pods, with the fields that are used. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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

    @property
    def has_ended(self) -> bool:
        """Whether nothing runs in the pod any more."""
        return self.phase in ENDED_PHASES
