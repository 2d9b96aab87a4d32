"""How changed settings reach replicas that serve: a run is not robbed of its servers. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolorch_api.meta import GROUP
from toolorch_api.modelpool import ModelPool
from toolorch_operator.modelpool.observed import ObservedPool
from toolorch_operator.modelpool.pods import ANNOTATION_TEMPLATE, PodView
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


def replaced_pods(pods: Mapping[str, PodView], observed: ObservedPool, template: str) -> frozenset[str]:
    """Return the replicas whose pod is about to be told to go: it lacks the wanted template, its Deployment has it."""
    outdated = (name for name, pod in pods.items() if pod.template != template)
    return frozenset(name for name in outdated if _runs(observed.deployments.get(name) or {}, template))


def _runs(deployment: Mapping[str, Any], template: str) -> bool:
    spec = deployment.get("spec") or {}
    annotations = ((spec.get("template") or {}).get("metadata") or {}).get("annotations") or {}
    return bool(spec.get("replicas")) and annotations.get(ANNOTATION_TEMPLATE) == template
