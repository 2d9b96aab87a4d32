"""The shard step: read what is to be done, put the shard's parts together, run it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import ValidationError

from toolorch_api.keys import MANIFEST_KEY, assignment_key
from toolorch_api.shard import Assignment, ExitCode, Manifest, RunInput, Unit
from toolorch_evaluator.benchmarks.base import Benchmark
from toolorch_evaluator.chat import Chat, Patience
from toolorch_evaluator.conduct import Conductor
from toolorch_evaluator.endpoints import PoolFiles
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.progress import SHORTEST_SECONDS, ProgressWriter
from toolorch_evaluator.results import Results
from toolorch_evaluator.runner import Shard
from toolorch_evaluator.settings import Settings
from toolorch_evaluator.tally import Tally

# What τ²-bench and τ-bench send where nobody says otherwise.
DEFAULT_TEMPERATURES = {"tau2": 0.0, "tau-bench": 0.0}

T = TypeVar("T", Manifest, Assignment)


async def run_shard(
    run: RunInput,
    settings: Settings,
    benchmark: Benchmark,
    results: Results,
    stop: asyncio.Event,
    patience: Patience | None = None,
) -> ExitCode:
    """Run this pod's share of an attempt; raises BadInputError, StorageError."""
    units = await read_units(run, settings, results)
    profile = Profile()
    temperature = DEFAULT_TEMPERATURES.get(run.spec.benchmark.name)
    chat = Chat(run, PoolFiles(settings.input_dir), profile, temperature, patience)
    place = (settings.attempt, settings.shard, settings.pod)
    tally = Tally(run.spec_hash, *place, total=len(units), started_at=datetime.now(UTC))
    shard = Shard(
        units=units,
        conductor=Conductor(run, benchmark, results, chat, *place),
        results=results,
        tally=tally,
        progress=ProgressWriter(results, tally, shortest=seconds_between_writes(run.spec.shards)),
        profile=profile,
        stop=stop,
    )
    try:
        return await shard.run()
    finally:
        await chat.close()


def seconds_between_writes(shards: int) -> float:
    """Seconds that a shard leaves between progress writes, so that all shards together write 100 times a second."""
    return max(SHORTEST_SECONDS, shards / 100)


async def read_units(run: RunInput, settings: Settings, results: Results) -> Sequence[Unit]:
    """Read which units are this shard's; raises BadInputError where plan and assignment are another run's."""
    manifest = await _read(results, MANIFEST_KEY, Manifest)
    assignment = await _read(results, assignment_key(settings.attempt), Assignment)
    for key, found in ((MANIFEST_KEY, manifest.spec_hash), ("assignment.json", assignment.spec_hash)):
        if found != run.spec_hash:
            raise BadInputError("ForeignPlan", f"{key} has spec hash {found}, this run has {run.spec_hash}")
    if settings.shard >= len(assignment.shards):
        sentence = f"shard {settings.shard} is not among the {len(assignment.shards)} of attempt {settings.attempt}"
        raise BadInputError("NoSuchShard", sentence)
    try:
        return [manifest.unit(index) for index in assignment.shards[settings.shard]]
    except IndexError as error:
        raise BadInputError("ForeignPlan", "the assignment names units that the manifest does not have") from error


async def _read(results: Results, key: str, kind: type[T]) -> T:
    body = await results.get(key)
    if body is None:
        raise StorageError("NoPlan", f"{key} is not in storage yet")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadInputError("ForeignPlan", f"{key} in storage cannot be read: {error.errors()[0]['msg']}") from error
