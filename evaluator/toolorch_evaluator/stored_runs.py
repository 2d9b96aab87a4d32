"""What lies in the folder of a run whose units have ended: its manifest, its results, and who it is. Reads only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError

from toolorch_api.keys import MANIFEST_KEY, PROMPTS_KEY, RESULTS_PREFIX, RUN_KEY, result_key
from toolorch_api.shard import Manifest, Result, Unit, UnitStatus
from toolorch_evaluator.comparison import Grade, Side
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.results import Results
from toolorch_evaluator.stored import RefusedResultError, parse_result

log = structlog.get_logger(__name__)


async def read_manifest(results: Results) -> Manifest:
    """Read manifest.json; raises StorageError where there is none, BadInputError where it is something else."""
    body = await results.get(MANIFEST_KEY)
    if body is None:
        raise StorageError("NoPlan", f"{MANIFEST_KEY} is not in storage yet")
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as error:
        sentence = f"{MANIFEST_KEY} in storage is no manifest: {error.error_count()} errors"
        raise BadInputError("ForeignManifest", sentence) from error


async def read_planned(results: Results) -> dict[str, Any]:
    """Read run.json as the plan wrote it, empty where there is none; raises BadInputError where it is another thing."""
    body = await results.get(RUN_KEY)
    try:
        return dict(json.loads(body)) if body else {}
    except (ValueError, RecursionError, TypeError) as error:
        raise BadInputError("ForeignRun", f"{RUN_KEY} in storage is not what a plan writes: {error}") from error


async def read_told(results: Results) -> dict[str, Any]:
    """Read prompts.json, which tells and decides nothing: empty where there is none, or nobody can read it."""
    body = await results.get(PROMPTS_KEY)
    try:
        told = dict(json.loads(body)) if body else {}
        return told if all(isinstance(told.get(part, {}), dict) for part in ("texts", "tools")) else {}
    except (ValueError, RecursionError, TypeError) as error:
        log.warning("prompts_unreadable", error=str(error))
        return {}


@dataclass(frozen=True, slots=True)
class FoundResults:
    """What lies below a prefix."""

    by_unit: dict[Unit, Result] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """By key: why an object is not counted."""


async def read_results(results: Results, manifest: Manifest, prefix: str, wanted: Mapping[str, Unit]) -> FoundResults:
    """Read the wanted results that exist; what is not this manifest's, or nobody can read, is refused."""
    there = [key for key in await results.list_keys(prefix) if key in wanted]
    found = FoundResults()
    async for key, body in results.get_all(there):
        try:
            found.by_unit[wanted[key]] = parse_result(body, wanted[key], manifest.spec_hash)
        except RefusedResultError as error:
            log.warning("result_refused", key=key, why=str(error))
            found.refused[key] = str(error)
    return found


async def read_side(results: Results, name: str) -> Side:
    """Read a run as one side of a comparison; `name` is for one that does not know its own.

    Raises StorageError or BadInputError where there is no run.
    """
    manifest = await read_manifest(results)
    document = await read_planned(results)
    units = {result_key(unit): unit for unit in (Unit(*u) for u in manifest.units)}
    finals = (await read_results(results, manifest, RESULTS_PREFIX, units)).by_unit
    benchmark = document.get("spec", {}).get("benchmark", {}).get("name", "")
    return build_side(document.get("name") or name, benchmark, manifest, finals)


def build_side(name: str, benchmark: str, manifest: Manifest, finals: Mapping[Unit, Result]) -> Side:
    """Build one side of a comparison from a run's final results."""
    ordered = [unit for unit in (Unit(*u) for u in manifest.units) if unit in finals]
    grades = {u: Grade(finals[u].reward or 0.0, finals[u].status is UnitStatus.PASSED) for u in ordered}
    return Side(name, benchmark, manifest.dataset_hash, grades)
