"""Kubernetes Events about the two kinds, with names made of what they say: a repeat raises a count. EDGE."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

import structlog

from toolorch_api.meta import FIELD_MANAGER
from toolorch_operator.errors import ClusterError
from toolorch_operator.plan import Event
from toolorch_operator.resources import EVENTS, Resource

BUCKET_SECONDS = 600
"""Seconds within which equal Events are one Event with a count; client-go's correlator uses ten minutes too."""
MAX_MESSAGE = 1024
"""Characters that the API server takes in an Event's message."""

log = structlog.get_logger("recorder")


class EventSink(Protocol):
    """The part of the cluster that Events need."""

    async def create(self, namespace: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Create an object; None where its name is taken."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object."""

    async def merge(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change fields of an object."""


async def post_event(sink: EventSink, about: Mapping[str, Any], event: Event, now: datetime) -> None:
    """Post an Event about an object; that it cannot be posted is logged and stops nothing."""
    manifest = build_event(about, event, now)
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    try:
        if await sink.create(namespace, manifest) is None:
            before = await sink.get(EVENTS, namespace, name)
            count = int((before or {}).get("count") or 0) + 1
            await sink.merge(EVENTS, namespace, name, {"count": count, "lastTimestamp": manifest["lastTimestamp"]})
    except ClusterError as error:
        log.warning("event not posted", name=name, reason=event.reason, error=str(error))


def build_event(about: Mapping[str, Any], event: Event, now: datetime) -> dict[str, Any]:
    """Return the Event as a manifest; equal Events of one ten-minute bucket have one name."""
    meta = about["metadata"]
    bucket = int(now.timestamp()) // BUCKET_SECONDS
    identity = f"{meta['uid']}/{event.type}/{event.reason}/{event.message}/{bucket}"
    when = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "resourceVersion": meta.get("resourceVersion", ""),
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:MAX_MESSAGE],
        "count": 1,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
    }
