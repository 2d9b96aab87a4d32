"""What a run's pods are told before they begin: the run, its pools, and where the pools' servers are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.meta import StatusModel


class Serving(StatusModel):
    """What serves a pool's model, as the cluster says: provenance, which decides nothing."""

    image: str = ""
    image_id: str = ""
    """Image with its digest; empty where nobody knows, as outside a cluster."""
    revision: str = ""
    """Commit of the model's repository where it is known, else what the spec asks for."""
    engine_version: str = ""
    served_id: str = ""
    max_model_len: int | None = None
    """Tokens."""
    generation: int = 0
    effective: dict[str, Any] = Field(default_factory=dict)
    """Settings after remediation."""
    arguments: list[str] = Field(default_factory=list)
    """Command line of the server."""


class PoolInput(StatusModel):
    """What a run's pods know of a pool besides its endpoints."""

    model: str
    served_model_name: str
    external: bool = False
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    serving: Serving = Serving()


class Baseline(StatusModel):
    """The earlier run that spec.gate names, as found when run.json was written."""

    name: str
    root: str = ""
    """URI of its folder in storage; empty: there is none to compare with."""
    problem: str = ""
    """Why there is none."""


# Exact: sums of floats would not be.
Dollars = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")]


class Price(StatusModel):
    """What a model's tokens cost, in USD per million."""

    input: Dollars
    """Of prompt tokens, as a decimal."""
    output: Dollars
    """Of completion tokens."""


class RunInput(StatusModel):
    """All that a run's pods are told: INPUT_DIR/run.json."""

    name: str
    namespace: str
    uid: str
    spec: EvalRunSpec
    spec_hash: str
    root: str
    """URI of this run's folder in storage."""
    pools: dict[str, PoolInput]
    baseline: Baseline | None = None
    """None without spec.gate."""
    prices: dict[str, Price] = Field(default_factory=dict)
    """By pool; tokens of a pool without one cost nobody knows what."""
    evaluator_image: str = ""
    """Image of the run's own pods with its digest; empty until one has run."""


class Endpoint(StatusModel):
    """One model server."""

    name: str
    url: str
    """OpenAI base URL, with /v1."""
    ready: bool


class Endpoints(StatusModel):
    """endpoints.json of a pool."""

    model: str
    served_model_name: str
    generation: int = 0
    endpoints: Annotated[list[Endpoint], Field(default_factory=list)]
