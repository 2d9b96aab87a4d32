"""The report step: read all results of a run, write the report. The only place whose requests grow with the units."""

from __future__ import annotations

from datetime import datetime

import structlog

from toolorch_api.keys import ERRORS_PREFIX, MANIFEST_KEY, RESULTS_PREFIX, error_key, result_key
from toolorch_api.shard import Manifest, RunInput, Summary, Unit
from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.gate import OpenFolder, hold_against_baseline
from toolorch_evaluator.history import History
from toolorch_evaluator.latency import LatencySums, RoleLatency
from toolorch_evaluator.profile import parse_events
from toolorch_evaluator.report import Story, build_head, order_results, render
from toolorch_evaluator.results import Results
from toolorch_evaluator.stored_runs import build_side, read_manifest, read_provenance, read_results
from toolorch_evaluator.summary import summarise

log = structlog.get_logger(__name__)


async def report(
    run: RunInput, results: Results, now: datetime, open_folder: OpenFolder, history: History | None = None
) -> Summary:
    """Write report/ and return its head; `open_folder` opens the baseline's folder by its URI.

    `history` is told what the tasks took.

    Raises StorageError, and BadInputError where the plan is another run's.
    """
    manifest = await _read_own_manifest(run, results)
    units = {Unit(*u): index for index, u in enumerate(manifest.units)}
    finals = await read_results(results, manifest, RESULTS_PREFIX, {result_key(u): u for u in units})
    missing = {error_key(u): u for u in units if u not in finals}
    errors = await read_results(results, manifest, ERRORS_PREFIX, missing) if missing else {}
    after = build_side(run.name, run.spec.benchmark.name, manifest, finals)
    story = Story(
        run=run,
        manifest=manifest,
        numbers=summarise(manifest, finals, errors),
        latency=await _read_latency(results),
        results=order_results(manifest, finals, errors),
        packages=(await read_provenance(results)).get("packages", {}),
        now=now,
        gate=await hold_against_baseline(run, after, open_folder),
    )
    for key, body in render(story).items():
        await results.put(key, body)
    if history is not None:
        await history.keep(run, finals)
    log.info("reported", score=story.numbers.head.score, scored=story.numbers.head.scored, total=len(units))
    return build_head(story)


async def _read_own_manifest(run: RunInput, results: Results) -> Manifest:
    manifest = await read_manifest(results)
    if manifest.spec_hash != run.spec_hash:
        raise BadInputError("ForeignPlan", f"{MANIFEST_KEY} has spec hash {manifest.spec_hash}, not {run.spec_hash}")
    return manifest


async def _read_latency(results: Results) -> list[RoleLatency]:
    keys = [key for key in await results.list_keys("attempts/") if key.endswith("/events.jsonl.zst")]
    sums = LatencySums()
    async for _, body in results.get_all(keys):
        for event in parse_events(body):
            sums.add(event)
    return sums.rows()
