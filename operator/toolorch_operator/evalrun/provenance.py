"""What serves a run's models, as the cluster says when an attempt begins: evidence beside results. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.keys import attempt_provenance_key
from toolorch_api.provenance import AttemptProvenance
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.serving import build_pool_input
from toolorch_operator.evalrun.views import PodView
from toolorch_operator.plan import Blob


def find_evaluator_image(pods: Iterable[PodView]) -> str:
    """Return the image of a run's own pods with its digest; empty until one has run.

    The least of several, so that it does not alternate with the order in which pods are listed.
    """
    return min((pod.image_id for pod in pods if pod.image_id), default="")


def build_provenance_blob(run: EvalRun, observed: ObservedRun, attempt: int, now: datetime) -> Blob:
    """Return the object that says what served the run's models when an attempt began."""
    told = AttemptProvenance(
        spec_hash=spec_hash(run.spec),
        attempt=attempt,
        began_at=now.replace(microsecond=0),
        evaluator_image=find_evaluator_image(observed.pods),
        pools={name: build_pool_input(observed.pools[name]) for name in run.spec.roles.pools()},
    )
    return Blob(attempt_provenance_key(attempt), told.model_dump_json(by_alias=True).encode())
