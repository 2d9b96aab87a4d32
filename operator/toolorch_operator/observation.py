"""What the frame hands from observing to carrying out: the brain's view, and the raw children to compare with. EDGE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from toolorch_api.meta import LABEL_KIND, LABEL_NAME, ObjectMeta
from toolorch_operator.owner import is_owned
from toolorch_operator.plan import Manifest
from toolorch_operator.resources import MANAGED_SELECTOR, Resource

O_co = TypeVar("O_co", covariant=True)


class BlobSink(Protocol):
    """Where a plan's blobs go: the run's folder in storage."""

    async def create(self, key: str, body: bytes) -> bool:
        """Write an object unless it exists; tell whether this call wrote it."""


@dataclass(frozen=True, slots=True)
class Observation(Generic[O_co]):
    """One look at the world around an object."""

    seen: O_co
    """What the brain gets."""
    live: Mapping[tuple[str, str], Manifest] = field(default_factory=dict)
    """Own children as the API returned them, by kind and name."""
    blobs: BlobSink | None = None
    """None: this object has no storage, or it cannot be opened."""


def children_selector(kind: str, name: str) -> str:
    """Return the label selector of an object's children."""
    return f"{MANAGED_SELECTOR},{LABEL_KIND}={kind},{LABEL_NAME}={name}"


def own_children(resource: Resource, items: Iterable[dict[str, Any]], owner_uid: str) -> dict[str, dict[str, Any]]:
    """Return the listed objects that an owner controls, by name, with the type that lists leave out."""
    type_ = {"apiVersion": resource.api_version, "kind": resource.kind}
    return {i["metadata"]["name"]: {**i, **type_} for i in items if is_owned(i, owner_uid)}


def is_of_this_life(pod: Mapping[str, Any], owner: ObjectMeta) -> bool:
    """Tell whether a pod is younger than its owner: pods of a deleted namesake may still be going."""
    created = (pod.get("metadata") or {}).get("creationTimestamp")
    if owner.creation_timestamp is None or not created:
        return True
    return datetime.fromisoformat(created) >= owner.creation_timestamp
