"""Whether a live child still is what was desired, so that a quiet cluster is never written to. PURE.

Two questions: was this very manifest applied (a hash in an annotation, which sees fields that were taken away), and
does the live object still hold all of it (which sees changes by others).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from toolorch_api.meta import GROUP
from toolorch_api.quantity import parse_quantity
from toolorch_operator.plan import Manifest

ANNOTATION_APPLIED = f"{GROUP}/applied-hash"

# Fields by which Kubernetes tells the items of a list apart; the first one that fits is used.
_ITEM_KEYS = ("name", "mountPath", "containerPort", "key", "type")
# How manifests and the API server write amounts; text that only might be one, such as 1e3, is compared as text.
_QUANTITY = re.compile(r"\d+(?:\.\d+)?(?:m|k|Ki|M|Mi|G|Gi|T|Ti)?")


def manifest_hash(manifest: Manifest) -> str:
    """Return 16 hex digits over a manifest."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_applied_hash(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest with its own hash as an annotation."""
    meta = manifest["metadata"]
    annotations = {**(meta.get("annotations") or {}), ANNOTATION_APPLIED: manifest_hash(manifest)}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}


def has_drifted(desired: Manifest, live: Manifest | None) -> bool:
    """Tell whether a desired manifest, with its hash, has to be applied over the live object."""
    return live is None or not is_held_by(desired, live)


def is_held_by(desired: Any, live: Any) -> bool:
    """Tell whether a live value holds all of a desired one; fields that others add do not count."""
    if desired == live:
        return True
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            return _is_empty(desired) and live is None
        return all(is_held_by(value, live.get(key)) for key, value in desired.items())
    if isinstance(desired, Sequence) and not isinstance(desired, str):
        return _is_list_held_by(desired, live)
    return desired == live or (_is_empty(desired) and _is_empty(live)) or _is_same_quantity(desired, live)


def _is_list_held_by(desired: Sequence[Any], live: Any) -> bool:
    if not isinstance(live, Sequence):
        return not desired and live is None
    key = _item_key(desired)
    if key is None:
        return len(desired) == len(live) and all(is_held_by(d, v) for d, v in zip(desired, live, strict=True))
    by_key = {item.get(key): item for item in live if isinstance(item, Mapping)}
    return all(is_held_by(item, by_key.get(item[key])) for item in desired)


def _item_key(items: Sequence[Any]) -> str | None:
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    for key in _ITEM_KEYS:
        values = [item.get(key) for item in items]
        if all(isinstance(v, str | int) for v in values) and len(set(values)) == len(values):
            return key
    return None


def _is_empty(value: Any) -> bool:
    # The API server leaves out fields that hold the zero of their type.
    return value is None or value is False or value in ("", 0) or (isinstance(value, Mapping | list) and not value)


def _is_same_quantity(desired: Any, live: Any) -> bool:
    left, right = _parse_quantity(desired), _parse_quantity(live)
    return left is not None and left == right


def _parse_quantity(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = str(value)
    return parse_quantity(text) if _QUANTITY.fullmatch(text) else None
