"""Whether an event shows anything that a brain reads: most of a pod's events do not. EDGE.

A view of an event's body is compared with that of the event before, and goes nowhere else. Where a brain reads more
of an object than a view of it, every event counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api import evalrun
from toolorch_operator.evalrun.observed import parse_job, parse_pod, parse_pool
from toolorch_operator.owner import Key
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

    is_news: bool
    is_end: bool = True
    """Whether somebody waits for just this: an end, or an event that cannot be judged."""


class Glances:
    """The last view of each object."""

    def __init__(self) -> None:
        self._views: dict[tuple[str, Key], object] = {}

    def take(self, reader: str, body: Mapping[str, Any], type_: str | None) -> Glance:
        """Return what an event shows to the brain of a kind; a listing (None), a creation and an end always count."""
        parse = VIEWS.get((reader, str(body.get("kind", ""))))
        if parse is None:
            return Glance(is_news=True)
        meta = body["metadata"]
        name = (reader, Key(body["kind"], meta.get("namespace", ""), meta["name"]))
        before = self._views.pop(name, None)
        if type_ == "DELETED":
            return Glance(is_news=True)
        try:
            view = self._views[name] = parse(body)
        except (ValueError, TypeError, KeyError, AttributeError):
            return Glance(is_news=True)
        return Glance(type_ != "MODIFIED" or view != before, getattr(view, "has_ended", True))
