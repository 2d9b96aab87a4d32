"""Whether an event shows anything that a brain does not know yet: most of a pod's events do not. EDGE.

A view of an event's body is compared with the view of what was last read, and goes nowhere else. Where a brain reads
more of an object than a view of it, every event counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api import evalrun
from toolorch_operator.evalrun.observed import parse_job, parse_pod, parse_pool
from toolorch_operator.resources import JOBS, MODEL_POOLS, PODS

VIEWS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], object]] = {
    (evalrun.KIND, JOBS.kind): parse_job,
    (evalrun.KIND, PODS.kind): parse_pod,
    (evalrun.KIND, MODEL_POOLS.kind): parse_pool,
}
"""Views by the kind of who reads and the kind of what is read."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What one event shows."""

    is_news: bool = True
    is_end: bool | None = None
    """Whether the object has ended; None: nobody can tell."""


def glance(reader: str, body: Mapping[str, Any], type_: str | None, known: Mapping[str, Any] | None) -> Glance:
    """Return what an event shows to the brain of a kind; `known` is the object as last read, None: it was not."""
    parse = VIEWS.get((reader, str(body.get("kind", ""))))
    if parse is None or type_ == "DELETED":
        return Glance()
    try:
        view = parse(body)
        return Glance(known is None or parse(known) != view, getattr(view, "has_ended", None))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Glance()
