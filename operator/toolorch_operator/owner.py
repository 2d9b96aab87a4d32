"""The identity of what is reconciled: the key of a ModelPool or EvalRun, and whose child an object is. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api import evalrun, modelpool
from toolorch_api.meta import API_VERSION, LABEL_KIND, LABEL_NAME

KINDS = (modelpool.KIND, evalrun.KIND)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Kind, namespace and name of one ModelPool or EvalRun."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


def parse_key(manifest: Mapping[str, Any]) -> Key:
    """Return the key of a ModelPool or EvalRun itself."""
    meta = manifest["metadata"]
    return Key(manifest["kind"], meta.get("namespace", ""), meta["name"])


def parse_owner(child: Mapping[str, Any]) -> Key | None:
    """Return the key of the object that a child belongs to, by its labels; None for a stranger."""
    meta = child.get("metadata") or {}
    labels = meta.get("labels") or {}
    kind, name = labels.get(LABEL_KIND), labels.get(LABEL_NAME)
    if kind not in KINDS or not name:
        return None
    return Key(kind, meta.get("namespace", ""), name)


def is_owned(child: Mapping[str, Any], owner_uid: str) -> bool:
    """Tell whether an object's controller is the owner of this uid; a namesake of an earlier life is not."""
    references = (child.get("metadata") or {}).get("ownerReferences") or []
    return any(r.get("uid") == owner_uid for r in references)


def build_owner_reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    """Return the ownerReference by which garbage collection deletes a child with its owner."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned_by_namesake(child: Mapping[str, Any], key: Key) -> bool:
    """Tell whether an object belongs to an owner of this kind and name, of whatever uid."""
    references = (child.get("metadata") or {}).get("ownerReferences") or []
    return any(r.get("kind") == key.kind and r.get("name") == key.name for r in references)
