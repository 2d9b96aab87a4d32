"""How many shards an attempt has, and how that follows spec.shards while it runs. PURE.

The attempt's assignment stays what it was: shards share one queue, so one that comes later brings no units and takes
those that nobody has begun, and one that goes gives its units back. All that changes is the Job: completions and
parallelism of an Indexed one may change together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api.meta import GROUP

ANNOTATION_SHARDS = f"{GROUP}/shards"
"""spec.shards that a Job was last fitted to."""


@dataclass(frozen=True, slots=True)
class Size:
    """The size of an attempt's Job."""

    asked: int
    """spec.shards that it was fitted to; a Job may have fewer shards, because there were fewer units."""
    shards: int


def parse_size(raw: Mapping[str, Any]) -> Size | None:
    """Return the size of a Job manifest; None where it has none to be changed."""
    asked = (raw["metadata"].get("annotations") or {}).get(ANNOTATION_SHARDS, "")
    shards = raw.get("spec", {}).get("completions")
    return Size(int(asked), shards) if asked.isdecimal() and shards else None


def fit_size(size: Size, asked: int, remaining: int) -> Size | None:
    """Return the size of an attempt with so many units left for a new spec.shards; None where it stays.

    No more shards are added than there are units left, and none goes because few are left.
    """
    if asked == size.asked:
        return None
    grown = max(size.shards, min(asked, remaining))
    return Size(asked, asked if asked < size.shards else grown)


def size_annotations(size: Size) -> dict[str, str]:
    """Return the annotations of a Job of this size."""
    return {ANNOTATION_SHARDS: str(size.asked)}


def size_fields(size: Size) -> dict[str, int]:
    """Return the fields of a Job's spec that say its size; no shard's failure ends the Job early."""
    return {"completions": size.shards, "parallelism": size.shards, "maxFailedIndexes": size.shards}
