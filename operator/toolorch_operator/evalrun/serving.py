"""What serves a pool's model, from the pool's manifest to what a run's pods are told. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from toolorch_api.modelpool_status import Served
from toolorch_api.run_input import PoolInput, Serving
from toolorch_operator.evalrun.views import PoolView


def parse_serving(raw: Mapping[str, Any]) -> Serving:
    """Return what serves a ModelPool manifest's model; what a newer or older operator wrote there does no harm."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    try:
        served = Served.model_validate(status.get("served") or {})
    except ValidationError:
        served = Served()
    return Serving(
        image=spec.get("image") or "",
        image_id=served.image_id,
        revision=served.revision or spec.get("revision") or "",
        engine_version=served.engine_version,
        served_id=served.id,
        max_model_len=served.max_model_len,
        generation=raw["metadata"].get("generation", 0),
        effective=status.get("effective") or {},
        arguments=served.arguments,
    )


def build_pool_input(pool: PoolView) -> PoolInput:
    """Return what a run's pods, and its provenance, are told of a pool."""
    return PoolInput(
        model=pool.model,
        served_model_name=pool.served_name,
        external=pool.external,
        chat_template_kwargs=dict(pool.chat_template_kwargs),
        serving=pool.serving,
    )
