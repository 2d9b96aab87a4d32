"""A pool's pods as the API gives them, parsed to small frozen views. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_api.meta import GROUP, LABEL_INSTANCE
from toolorch_operator.queueing import find_queue
from toolorch_operator.raw import find_raw_condition

CONTAINER = "server"
"""Name of the container that runs the model server."""

ANNOTATION_SPEC = f"{GROUP}/spec-hash"
"""Annotation of a pod: hash of the memory-related spec that it was built from."""

ANNOTATION_TEMPLATE = f"{GROUP}/template-hash"
"""Annotation of a pod: hash of the whole template that it was built from, its node apart."""


@dataclass(frozen=True, slots=True)
class Termination:
    """One end of the server's container; `run` counts its starts within the pod from 0."""

    run: int
    exit_code: int
    reason: str = ""
    message: str = ""
    """The launcher's JSON, or what else the container left as its termination message."""
    finished: str = ""
    """RFC 3339 time."""


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod of a pool."""

    name: str
    uid: str
    instance: str
    """The replica that it runs, such as orchestrator-0."""
    created: str = ""
    """RFC 3339 time."""
    node: str = ""
    ip: str = ""
    phase: str = "Pending"
    deleting: bool = False
    ready: bool = False
    """The container passes its readiness probe."""
    restart_count: int = 0
    waiting_reason: str = ""
    """Why the container does not run, such as CrashLoopBackOff or ImagePullBackOff."""
    waiting_message: str = ""
    unschedulable: str = ""
    """The scheduler's message where no node takes the pod."""
    queue: str = ""
    """Kueue's queue that has yet to admit the pod; empty: none."""
    terminations: tuple[Termination, ...] = ()
    """Ends of the container that the pod still remembers, oldest first; at most two."""
    command: tuple[str, ...] = ()
    """What the container was started with: command and args."""
    image_id: str = ""
    """The container's image with its digest."""
    spec_hash: str = ""
    """Hash of the memory-related spec that the pod was built from."""
    template: str = ""
    """Hash of the whole template that the pod was built from."""


def parse_pod(manifest: Mapping[str, Any]) -> PodView:
    """Return the view of a pod as the API gives it."""
    meta, spec, status = (manifest.get(part) or {} for part in ("metadata", "spec", "status"))
    container = _server(spec.get("containers"))
    live = _server(status.get("containerStatuses"))
    waiting = (live.get("state") or {}).get("waiting") or {}
    restarts = live.get("restartCount", 0)
    annotations = meta.get("annotations") or {}
    return PodView(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        instance=(meta.get("labels") or {}).get(LABEL_INSTANCE, ""),
        created=meta.get("creationTimestamp") or "",
        node=spec.get("nodeName") or "",
        ip=status.get("podIP") or "",
        phase=status.get("phase", "Pending"),
        deleting=bool(meta.get("deletionTimestamp")),
        ready=bool(live.get("ready")) and find_raw_condition(status, "Ready").get("status", "True") == "True",
        restart_count=restarts,
        waiting_reason=waiting.get("reason") or "",
        waiting_message=waiting.get("message") or "",
        unschedulable=_unschedulable(status),
        queue=find_queue(manifest) if _is_gated(status) else "",
        terminations=_terminations(live, restarts),
        command=(*(container.get("command") or ()), *(container.get("args") or ())),
        image_id=live.get("imageID") or "",
        spec_hash=annotations.get(ANNOTATION_SPEC, ""),
        template=annotations.get(ANNOTATION_TEMPLATE, ""),
    )


def _server(containers: Sequence[Mapping[str, Any]] | None) -> Mapping[str, Any]:
    """Return the server's entry: an injected sidecar may stand before it."""
    return next((c for c in containers or () if c.get("name") == CONTAINER), {})


def _unschedulable(status: Mapping[str, Any]) -> str:
    scheduled = find_raw_condition(status, "PodScheduled")
    if scheduled.get("status") != "False":
        return ""
    return scheduled.get("message") or scheduled.get("reason") or "no node takes the pod"


def _is_gated(status: Mapping[str, Any]) -> bool:
    """Tell whether the scheduler may not look at a pod yet: somebody's gate holds it back."""
    return find_raw_condition(status, "PodScheduled").get("reason") == "SchedulingGated"


def _terminations(live: Mapping[str, Any], restarts: int) -> tuple[Termination, ...]:
    """Return the remembered ends; an end keeps its number while it moves from `state` to `lastState`."""
    state = live.get("state") or {}
    last = (live.get("lastState") or {}).get("terminated")
    # While the kubelet backs off, it shows the newest end as lastState; restartCount grows only with the next start.
    earlier = (restarts if state.get("waiting") else restarts - 1, last)
    return tuple(_parse_termination(run, end) for run, end in (earlier, (restarts, state.get("terminated"))) if end)


def _parse_termination(run: int, end: Mapping[str, Any]) -> Termination:
    return Termination(
        run, end.get("exitCode", 0), end.get("reason") or "", end.get("message") or "", end.get("finishedAt") or ""
    )
