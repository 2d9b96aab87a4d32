"""Whether an event shows anything that a brain does not know yet: most of a pod's events do not. EDGE.

A view of an event's body is compared with the view of what was last read, and goes nowhere else. Where a brain reads
more of an object than a view of it, every event counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api import evalrun, modelpool
from toolorch_operator.evalrun.observed import parse_job, parse_pod, parse_pool
from toolorch_operator.modelpool import pods
from toolorch_operator.raw import digest, find_raw_condition
from toolorch_operator.resources import DEPLOYMENTS, JOBS, MODEL_POOLS, PODS


def _see_server(pod: Mapping[str, Any]) -> pods.PodView | None:
    """Return a pool's view of a pod; None for one that fetches a model, whose view does not tell how far it is."""
    names = {container.get("name") for container in (pod.get("spec") or {}).get("containers") or ()}
    return pods.parse_pod(pod) if pods.CONTAINER in names else None


def _see_deployment(deployment: Mapping[str, Any]) -> str:
    """Return what stands for all of a Deployment but its counts: of its status a pool reads one condition."""
    meta = {k: v for k, v in deployment["metadata"].items() if k not in ("managedFields", "resourceVersion")}
    failure = find_raw_condition(deployment.get("status"), "ReplicaFailure")
    return digest([meta, deployment.get("spec"), failure], 16)


VIEWS: Mapping[tuple[str, str], Callable[[Mapping[str, Any]], object]] = {
    (evalrun.KIND, JOBS.kind): parse_job,
    (evalrun.KIND, PODS.kind): parse_pod,
    (evalrun.KIND, MODEL_POOLS.kind): parse_pool,
    (modelpool.KIND, PODS.kind): _see_server,
    (modelpool.KIND, DEPLOYMENTS.kind): _see_deployment,
}
"""Views by the kind of who reads and the kind of what is read."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What one event shows."""

    is_news: bool = True
    is_end: bool | None = None
    """Whether the object has ended; None: nobody can tell."""


def view_of(reader: str, kind: str, raw: Mapping[str, Any]) -> object | None:
    """Return how the brain of a kind sees an object of another; None where it reads more than a view, or cannot."""
    parse = VIEWS.get((reader, kind))
    try:
        return parse(raw) if parse is not None else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def glance(reader: str, body: Mapping[str, Any], type_: str | None, known: object | None) -> Glance:
    """Return what an event shows to the brain of a kind; `known` is its view of the last one read, None: none."""
    view = None if type_ == "DELETED" else view_of(reader, str(body.get("kind", "")), body)
    return Glance(known != view, getattr(view, "has_ended", None)) if view is not None else Glance()
