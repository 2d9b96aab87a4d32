"""What a brain returns: children to apply and delete, the next status, events, and when to look again. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

Manifest = Mapping[str, Any]
"""A Kubernetes object as plain JSON."""


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event about the planned object; `reason` is a condition's reason."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Ref:
    """A child to delete; uid and resourceVersion make sure that it is the one that was observed."""

    kind: Literal["Deployment", "Service", "ConfigMap", "Job", "Pod"]
    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """An object to create in the run's storage; that it exists already is success."""

    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What should change; the frame carries it out in the order of the fields, `status_first` before all of them.

    `status` is the whole next status as plain JSON (None: leave it). `requeue_after` None means: on the next event.
    """

    delete: tuple[Ref, ...] = ()
    blobs: tuple[Blob, ...] = ()
    create: tuple[Manifest, ...] = ()
    """Applied only where absent: immutable kinds such as Jobs."""
    apply: tuple[Manifest, ...] = ()
    """Server-side applied where they differ from what was observed."""
    status: Mapping[str, Any] | None = None
    status_first: bool = False
    """Write status before anything else: it holds a counter that justifies what follows."""
    events: tuple[Event, ...] = field(default=())
    requeue_after: timedelta | None = None
