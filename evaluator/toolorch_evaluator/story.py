"""All that a report tells, put together before any of it is drawn. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from toolorch_api.shard import Manifest, Result, RunInput, Unit
from toolorch_evaluator.costs import Costs
from toolorch_evaluator.effects import Effect
from toolorch_evaluator.gate import GateFinding
from toolorch_evaluator.latency import RoleLatency
from toolorch_evaluator.occupancy import Spans
from toolorch_evaluator.summary import RunNumbers


@dataclass(frozen=True, slots=True)
class Story:
    """All that a report tells."""

    run: RunInput
    manifest: Manifest
    numbers: RunNumbers
    latency: Sequence[RoleLatency]
    calls_under_way: Spans
    costs: Costs
    effects: Sequence[Effect]
    """Of user variants against control."""
    results: Sequence[Result]
    """Final results and infra errors, in the manifest's order."""
    provenance: Mapping[str, Any]
    """The document provenance.json."""
    told: Mapping[str, Any]
    """The document prompts.json; empty where there is none."""
    now: datetime
    gate: GateFinding | None = None
    """None without spec.gate."""


def order_results(manifest: Manifest, *found: Mapping[Unit, Result]) -> list[Result]:
    """Return the results of a manifest's units in its order, the first mapping that has one winning."""
    units = (Unit(*u) for u in manifest.units)
    choices = (next((m[u] for m in found if u in m), None) for u in units)
    return [result for result in choices if result is not None]
