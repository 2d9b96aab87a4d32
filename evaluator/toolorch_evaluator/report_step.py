"""The report step: read all results of a run, write the report. The only place whose requests grow with the units."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import structlog
from pydantic import ValidationError

from toolorch_api.keys import ERRORS_PREFIX, MANIFEST_KEY, RESULTS_PREFIX, RUN_KEY, error_key, result_key
from toolorch_api.shard import Manifest, Result, RunInput, Summary, Unit
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.latency import LatencySums, RoleLatency
from toolorch_evaluator.profile import parse_events
from toolorch_evaluator.report import Story, order_results, render
from toolorch_evaluator.results import Results
from toolorch_evaluator.summary import summarise

log = structlog.get_logger(__name__)


async def report(run: RunInput, results: Results, now: datetime) -> Summary:
    """Write report/ and return its head; raises StorageError, and BadInputError where the plan is another run's."""
    manifest = await _read_manifest(run, results)
    units = {Unit(*u): index for index, u in enumerate(manifest.units)}
    finals = await _read_results(results, manifest, RESULTS_PREFIX, {result_key(u): u for u in units})
    missing = {error_key(u): u for u in units if u not in finals}
    errors = await _read_results(results, manifest, ERRORS_PREFIX, missing) if missing else {}
    story = Story(
        run=run,
        manifest=manifest,
        numbers=summarise(manifest, finals, errors),
        latency=await _read_latency(results),
        results=order_results(manifest, finals, errors),
        packages=await _read_packages(results),
        now=now,
    )
    for key, body in render(story).items():
        await results.put(key, body)
    log.info("reported", score=story.numbers.head.score, scored=story.numbers.head.scored, total=len(units))
    return story.numbers.head


async def _read_manifest(run: RunInput, results: Results) -> Manifest:
    body = await results.get(MANIFEST_KEY)
    if body is None:
        raise StorageError("NoPlan", f"{MANIFEST_KEY} is not in storage yet")
    manifest = Manifest.model_validate_json(body)
    if manifest.spec_hash != run.spec_hash:
        raise BadInputError("ForeignPlan", f"{MANIFEST_KEY} has spec hash {manifest.spec_hash}, not {run.spec_hash}")
    return manifest


async def _read_results(
    results: Results, manifest: Manifest, prefix: str, wanted: Mapping[str, Unit]
) -> dict[Unit, Result]:
    """Read the wanted results that exist; what another configuration left, or nobody can read, is passed over."""
    there = [key for key in await results.list_keys(prefix) if key in wanted]
    found: dict[Unit, Result] = {}
    async for key, body in results.get_all(there):
        try:
            result = Result.model_validate_json(body)
        except ValidationError as error:
            log.warning("result_unreadable", key=key, error=error.errors()[0]["msg"])
            continue
        if result.spec_hash == manifest.spec_hash:
            found[wanted[key]] = result
        else:
            log.warning("result_foreign", key=key, spec_hash=result.spec_hash)
    return found


async def _read_latency(results: Results) -> list[RoleLatency]:
    keys = [key for key in await results.list_keys("attempts/") if key.endswith("/events.jsonl.zst")]
    sums = LatencySums()
    async for _, body in results.get_all(keys):
        for event in parse_events(body):
            sums.add(event)
    return sums.rows()


async def _read_packages(results: Results) -> dict[str, str]:
    body = await results.get(RUN_KEY)
    return dict(json.loads(body).get("packages", {})) if body else {}
