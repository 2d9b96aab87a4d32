"""How the units of a run ended and what its attempts ran on, as far as storage tells. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import structlog
import zstandard
from pydantic import ValidationError

from toolorch_api.deaths import Death
from toolorch_api.evalrun_status import Usage
from toolorch_api.keys import (
    ATTEMPTS_PREFIX,
    DEATHS_PREFIX,
    ERRORS_PREFIX,
    PROGRESS_PREFIX,
    PROVENANCE_KEY,
    RESULTS_PREFIX,
    error_key,
    result_key,
)
from toolorch_api.meta import StatusModel
from toolorch_api.provenance import AttemptProvenance
from toolorch_api.shard import Manifest, Progress, Unit
from toolorch_evaluator.latency import LatencySums
from toolorch_evaluator.profile import parse_events
from toolorch_evaluator.results import Results
from toolorch_evaluator.set_aside import list_set_aside
from toolorch_evaluator.stored_runs import read_results
from toolorch_evaluator.summary import Ends
from toolorch_evaluator.tally import add_usage

log = structlog.get_logger(__name__)

T = TypeVar("T", bound=StatusModel)


async def read_ends(results: Results, manifest: Manifest, quarantine_after: int) -> Ends:
    """Read the outcomes of a manifest's units; raises StorageError."""
    units = [Unit(*u) for u in manifest.units]
    finals = await read_results(results, manifest, RESULTS_PREFIX, {result_key(u): u for u in units})
    missing = {error_key(u): u for u in units if u not in finals.by_unit}
    errors = await read_results(results, manifest, ERRORS_PREFIX, missing)
    return Ends(
        finals=finals.by_unit,
        errors=errors.by_unit,
        set_aside=list_set_aside(manifest, await read_deaths(results), quarantine_after),
        refused=finals.refused | errors.refused,
        spent=await _read_spent(results, manifest.spec_hash),
    )


async def read_deaths(results: Results) -> list[Death]:
    """Read what died of which units; what nobody can read says nothing."""
    return [death async for death in _read_all(results, await results.list_keys(DEATHS_PREFIX), Death)]


async def _read_spent(results: Results, spec_hash: str) -> Usage | None:
    """Return what the shards say that they have used, which lost work is part of; None where none says it."""
    keys = await results.list_keys(PROGRESS_PREFIX)
    used = [p.usage async for p in _read_all(results, keys, Progress) if p.spec_hash == spec_hash]
    return add_usage(used) if used else None


async def read_attempts(results: Results, spec_hash: str) -> tuple[Sequence[AttemptProvenance], LatencySums]:
    """Read what each attempt ran on, in order, and how long its model calls took."""
    keys = await results.list_keys(ATTEMPTS_PREFIX)
    told = [key for key in keys if key.endswith(f"/{PROVENANCE_KEY}")]
    found = [a async for a in _read_all(results, told, AttemptProvenance) if a.spec_hash == spec_hash]
    sums = LatencySums()
    async for key, body in results.get_all(key for key in keys if key.endswith("/events.jsonl.zst")):
        try:
            for event in parse_events(body):
                sums.add(event)
        except (zstandard.ZstdError, ValueError, RecursionError, LookupError, TypeError) as error:
            log.warning("events_unreadable", key=key, error=str(error))
    return sorted(found, key=lambda a: a.attempt), sums


async def _read_all(results: Results, keys: Sequence[str], kind: type[T]) -> AsyncIterator[T]:
    async for key, body in results.get_all(keys):
        try:
            yield kind.model_validate_json(body)
        except ValidationError as error:
            log.warning("object_unreadable", key=key, error=error.errors()[0]["msg"])
