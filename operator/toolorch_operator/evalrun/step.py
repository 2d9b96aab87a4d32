"""What one look at a run decides, before it is turned into the next status and a Plan. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from toolorch_api.conditions import RunCondition
from toolorch_operator.plan import Blob, Event, Manifest, Ref


@dataclass(frozen=True, slots=True)
class Says:
    """What is said of one condition; `truth` None means Unknown."""

    truth: bool | None
    reason: str
    """A RunReason; a text only where a newer version wrote one."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One decision: what conditions say now, which fields of status change, and what is to be written."""

    says: Mapping[RunCondition, Says]
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of EvalRunStatus by name."""
    delete: tuple[Ref, ...] = ()
    blobs: tuple[Blob, ...] = ()
    create: tuple[Manifest, ...] = ()
    apply: tuple[Manifest, ...] = ()
    status_first: bool = False
    requeue: timedelta | None = None
    events: tuple[Event, ...] = ()
    """What no transition of a condition tells."""


def hold(reason: str, message: str, seconds: float | None = None, **changes: Any) -> Step:
    """Return the step of a run that cannot go on; `seconds` None waits for the next event."""
    return _progressing(False, reason, message, seconds, changes)


def go_on(reason: str, message: str, seconds: float | None = None, **changes: Any) -> Step:
    """Return the step of a run that is at work."""
    return _progressing(True, reason, message, seconds, changes)


def _progressing(truth: bool, reason: str, message: str, seconds: float | None, changes: dict[str, Any]) -> Step:
    requeue = None if seconds is None else timedelta(seconds=seconds)
    return Step({RunCondition.PROGRESSING: Says(truth, reason, message)}, changes, requeue=requeue)
