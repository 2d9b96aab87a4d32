"""How changed settings reach replicas that serve: a run is not robbed of its servers. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolorch_api.meta import GROUP
from toolorch_api.modelpool import ModelPool
from toolorch_operator.raw import digest

ANNOTATION_ROLLOUT = f"{GROUP}/rollout"
"""Annotation of a pool: `now` rolls it although runs use it."""

_HASH_DIGITS = 12
# A sentence in a column: the runs that began first are told, the rest is counted.
_NAMED_RUNS = 3


def is_forced(pool: ModelPool) -> bool:
    """Tell whether the pool is to be rolled although runs use it."""
    return pool.metadata.annotations.get(ANNOTATION_ROLLOUT) == "now"


def describe_deferral(runs: Sequence[str]) -> str:
    """Return why replicas serve on with earlier settings; `runs` use the pool, the oldest first."""
    more = f" and {len(runs) - _NAMED_RUNS} more" if len(runs) > _NAMED_RUNS else ""
    return (
        f"replicas serve on with earlier settings as long as runs use the pool ({', '.join(runs[:_NAMED_RUNS])}{more});"
        f" the annotation {ANNOTATION_ROLLOUT}=now rolls them at once"
    )


def template_hash(template: Mapping[str, Any]) -> str:
    """Return 12 hex digits over a pod template: the API server's defaults make live templates differ from it."""
    return digest(template, _HASH_DIGITS)
