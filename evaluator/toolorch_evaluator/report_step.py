"""The report step: read all results of a run, write the report. The only place whose requests grow with the units."""

from __future__ import annotations

from datetime import datetime

import structlog

from toolorch_api.keys import MANIFEST_KEY, PROVENANCE_KEY
from toolorch_api.shard import Manifest, RunInput, Summary, Unit
from toolorch_evaluator.costs import compute_costs
from toolorch_evaluator.effects import measure_effects
from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.gate import OpenFolder, hold_against_baseline
from toolorch_evaluator.history import History
from toolorch_evaluator.provenance import build_provenance
from toolorch_evaluator.report import build_head, render
from toolorch_evaluator.results import Results
from toolorch_evaluator.stored import to_json
from toolorch_evaluator.stored_ends import read_attempts, read_ends
from toolorch_evaluator.stored_runs import build_side, read_manifest, read_planned, read_told
from toolorch_evaluator.story import Story, order_results
from toolorch_evaluator.summary import summarise
from toolorch_evaluator.suspects import find_suspects

log = structlog.get_logger(__name__)


async def report(
    run: RunInput,
    results: Results,
    now: datetime,
    open_folder: OpenFolder,
    history: History | None = None,
    attempt: int = 0,
) -> Summary:
    """Write provenance.json and report/, and return the report's head.

    `open_folder` opens the baseline's folder by its URI, `history` is told what the tasks took, `attempt` is the newest
    one. Raises StorageError, and BadInputError where the plan is another run's.
    """
    manifest = await _read_own_manifest(run, results)
    ends = await read_ends(results, manifest, run.spec.retry.quarantine_after)
    attempts, sums = await read_attempts(results, run.spec_hash)
    ordered, latency, experts = order_results(manifest, ends.finals, ends.errors), sums.rows(), run.spec.roles.experts
    numbers = summarise(manifest, ends, attempt, find_suspects(ordered, latency, experts), experts)
    provenance = build_provenance(run, manifest, await read_planned(results), attempts, numbers.served, now)
    after = build_side(run.name, run.spec.benchmark.name, manifest, ends.finals)
    story = Story(
        run=run,
        manifest=manifest,
        numbers=numbers,
        latency=latency,
        calls_under_way=sums.under_way,
        costs=compute_costs(latency, run.prices),
        effects=measure_effects([Unit(*u) for u in manifest.units], ends.finals),
        results=ordered,
        provenance=provenance,
        told=await read_told(results),
        now=now,
        gate=await hold_against_baseline(run, after, open_folder),
    )
    await results.put(PROVENANCE_KEY, to_json(provenance))
    for key, body in render(story).items():
        await results.put(key, body)
    if history is not None:
        await history.keep(run, ends.finals)
    log.info("reported", score=numbers.head.score, scored=numbers.head.scored, total=numbers.head.total)
    return build_head(story)


async def _read_own_manifest(run: RunInput, results: Results) -> Manifest:
    manifest = await read_manifest(results)
    if manifest.spec_hash != run.spec_hash:
        raise BadInputError("ForeignPlan", f"{MANIFEST_KEY} has spec hash {manifest.spec_hash}, not {run.spec_hash}")
    return manifest
