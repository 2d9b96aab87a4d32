"""The plan step: list a run's units, and write them down once for all that come after."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import structlog
from pydantic import ValidationError

from toolorch_api.keys import MANIFEST_KEY, PROMPTS_KEY, RUN_KEY
from toolorch_api.shard import SCHEMA_VERSION, Durations, Manifest, RunInput
from toolorch_evaluator.benchmarks.base import Benchmark, Listing, Read
from toolorch_evaluator.estimates import estimate_units
from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.history import History
from toolorch_evaluator.reading import no_files
from toolorch_evaluator.results import Results
from toolorch_evaluator.stored import to_json

log = structlog.get_logger(__name__)

# What decides over results besides the spec, and must be known to repeat them.
PACKAGES = ("toolorch", "inspect-evals", "openai")


async def plan(
    run: RunInput,
    benchmark: Benchmark,
    results: Results,
    now: datetime,
    history: History | None = None,
    read: Read = no_files,
) -> Manifest:
    """Write manifest.json, run.json and prompts.json, unless they are there; raises BadInputError for an empty list.

    `history` tells what the tasks took in earlier runs, `read` reads the files that the spec names.
    """
    try:
        await benchmark.load(run.spec, read)
        listing = benchmark.list_units(run.spec)
    except ValueError as error:
        raise BadInputError("BadBenchmark", f"spec.benchmark: {error}") from error
    if not listing.units:
        raise BadInputError("NoTasks", "spec.benchmark: no task is left by domains, split, taskIds and numTasks")
    past = await history.read(run.spec.benchmark.name) if history is not None else []
    manifest = build_manifest(run, listing, past)
    if not await results.put_new(MANIFEST_KEY, manifest.model_dump_json(by_alias=True).encode()):
        await _check_same(results, manifest)
    await results.put_new(RUN_KEY, to_json(build_provenance(run, listing, now)))
    if told := benchmark.describe(run.spec):
        await results.put_new(PROMPTS_KEY, to_json({"v": SCHEMA_VERSION, **told}))
    log.info("planned", units=len(manifest.units))
    return manifest


def build_manifest(run: RunInput, listing: Listing, past: Sequence[Durations]) -> Manifest:
    """Build the manifest of a listing, each unit with what is expected of it."""
    units = [(u.variant, u.domain, u.task_id, u.trial) for u in listing.units]
    estimates = estimate_units(listing.units, listing.weights, past)
    return Manifest(spec_hash=run.spec_hash, dataset_hash=listing.dataset_hash, units=units, estimates=estimates)


def build_provenance(run: RunInput, listing: Listing, now: datetime) -> dict[str, Any]:
    """Build run.json: the resolved spec, and what else decides over results."""
    return {
        "v": SCHEMA_VERSION,
        **run.model_dump(mode="json", by_alias=True, exclude_none=True),
        "datasetHash": listing.dataset_hash,
        "createdAt": now.isoformat(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


async def _check_same(results: Results, manifest: Manifest) -> None:
    """Accept an earlier plan of the same units; raises BadInputError for another one's."""
    try:
        there = Manifest.model_validate_json(await results.get(MANIFEST_KEY) or b"")
    except ValidationError as error:
        raise BadInputError("ForeignManifest", f"{MANIFEST_KEY} in storage is no manifest: {error}") from error
    for field, label in (("spec_hash", "spec"), ("dataset_hash", "dataset"), ("units", "list of units")):
        if getattr(there, field) != getattr(manifest, field):
            sentence = f"{MANIFEST_KEY} in storage was made from another {label}: results of two are never mixed"
            raise BadInputError("ForeignManifest", sentence)
