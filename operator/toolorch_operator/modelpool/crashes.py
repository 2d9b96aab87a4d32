"""From a container's end to a crash with a class: what the launcher wrote, or what the exit itself says. PURE."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_operator.modelpool.command import parse_utilization
from toolorch_operator.modelpool.pods import PodView, Termination

NO_CLASS = "NONE"
HOST_OOM = "HOST_OOM"

# A container that was told to go ends so: the exit code of SIGTERM, of SIGINT, or none at all.
_STOPPED = (0, 130, 143)
_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Crash:
    """One crash of one replica, identified by pod and start."""

    key: str
    """Pod UID and restart count: no crash is counted twice."""
    instance: str
    signature: str
    """Class that the launcher found, such as CAPTURE_OOM; NONE where nothing matched."""
    exit_code: int
    utilization: int | None = None
    """Percent that the server was started with."""
    spec_hash: str = ""
    """Hash of the memory-related spec that the pod was built from."""
    message: str = ""
    """The line that gave the class, shortened."""


def parse_crashes(pods: Sequence[PodView]) -> list[Crash]:
    """Return every crash that the pods remember, ordered by replica and start."""
    ordered = sorted(pods, key=lambda p: (p.instance, p.created, p.uid))
    return [_parse_crash(pod, end) for pod in ordered for end in pod.terminations if not _was_stopped(pod, end)]


def last_crash(pod: PodView) -> Crash | None:
    """Return the newest crash of a pod, or None."""
    crashes = parse_crashes([pod])
    return crashes[-1] if crashes else None


def _was_stopped(pod: PodView, end: Termination) -> bool:
    return pod.deleting and end.exit_code in _STOPPED


def _parse_crash(pod: PodView, end: Termination) -> Crash:
    report = _parse_report(end.message)
    signature = HOST_OOM if end.reason == "OOMKilled" else str(report.get("class") or NO_CLASS)
    told = parse_utilization(pod.command)
    return Crash(
        key=f"{pod.uid}/{end.run}",
        instance=pod.instance,
        signature=signature[:63],
        exit_code=end.exit_code,
        utilization=_percent(report.get("gmu")) if told is None else told,
        spec_hash=pod.spec_hash,
        message=str(report.get("msg") or end.reason or "")[:_MESSAGE_CHARACTERS],
    )


def _parse_report(message: str) -> Mapping[str, Any]:
    """Return the launcher's JSON; an image may put its own words into the termination message."""
    try:
        report = json.loads(message)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _percent(fraction: object) -> int | None:
    return round(fraction * 100) if isinstance(fraction, int | float) and 0 < fraction <= 1 else None
