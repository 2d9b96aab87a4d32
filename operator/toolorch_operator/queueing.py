"""Kueue, as far as its labels go: which of them children take over, and which queue an object waits in. PURE.

Kueue admits a Job by setting spec.suspend to false and takes it back by true, so that field is Kueue's wherever the
label stands: whoever else wrote it would start what has no quota, or be overruled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
LABEL_PRIORITY = "kueue.x-k8s.io/priority-class"


def queue_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that an owner's children take over; none where no queue is named."""
    return {key: labels[key] for key in (LABEL_QUEUE, LABEL_PRIORITY) if key in labels} if LABEL_QUEUE in labels else {}


def hold_job(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a Job's spec by which it waits for Kueue; none where its owner's labels name no queue."""
    return {"suspend": True} if labels.get(LABEL_QUEUE) else {}


def find_queue(manifest: Mapping[str, Any]) -> str:
    """Return the queue that an object's own labels name; empty: none."""
    labels = (manifest.get("metadata") or {}).get("labels") or {}
    return str(labels.get(LABEL_QUEUE) or "")
