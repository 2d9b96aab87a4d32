"""The shard step: read what is to be done, put the shard's parts together, run it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from pydantic import ValidationError

from toolorch_api.keys import MANIFEST_KEY, RESULTS_PREFIX, TRANSCRIPTS_PREFIX, assignment_key
from toolorch_api.shard import Assignment, ExitCode, Manifest, RunInput
from toolorch_evaluator.benchmarks.base import Benchmark, Read
from toolorch_evaluator.blocks import Board, share_units
from toolorch_evaluator.caution import Caution
from toolorch_evaluator.chat import Chat, Patience
from toolorch_evaluator.claims import ClaimQueue
from toolorch_evaluator.conduct import Conductor
from toolorch_evaluator.drain import CLOSE_SECONDS, in_time
from toolorch_evaluator.endpoints import PoolFiles
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.held import Held
from toolorch_evaluator.holders import Holders
from toolorch_evaluator.last_word import RunningUnits
from toolorch_evaluator.leases import Place
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.progress import SHORTEST_SECONDS, ProgressWriter
from toolorch_evaluator.reading import no_files
from toolorch_evaluator.results import Results
from toolorch_evaluator.run_file import RunFile
from toolorch_evaluator.runner import Shard
from toolorch_evaluator.settings import Settings
from toolorch_evaluator.tally import Tally

# What τ²-bench and τ-bench send where nobody says otherwise.
DEFAULT_TEMPERATURES = {"tau2": 0.0, "tau-bench": 0.0}

log = structlog.get_logger(__name__)

T = TypeVar("T", Manifest, Assignment)


async def run_shard(
    run: RunInput,
    settings: Settings,
    benchmark: Benchmark,
    results: Results,
    stop: asyncio.Event,
    patience: Patience | None = None,
    read: Read = no_files,
) -> ExitCode:
    """Run this pod's share of an attempt; raises BadInputError, StorageError."""
    profile = Profile()
    temperature = DEFAULT_TEMPERATURES.get(run.spec.benchmark.name)
    chat = Chat(run, PoolFiles(settings.input_dir), profile, temperature, patience)
    building = build_shard(run, settings, benchmark, results, stop, chat, read)
    try:
        return await (await in_time(building, stop, 0)).run()
    except TimeoutError:
        log.info("shard_never_began", why="told to stop before storage had said what there is to do")
        return ExitCode.DRAINED
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await chat.close()
                await benchmark.close()


async def build_shard(
    run: RunInput,
    settings: Settings,
    benchmark: Benchmark,
    results: Results,
    stop: asyncio.Event,
    chat: Chat,
    read: Read = no_files,
) -> Shard:
    """Read what is to be done and put the shard's parts together; raises BadInputError, StorageError."""
    manifest, assignment = await read_plan(run, settings, results)
    await chat.check_answers()
    await prepare(benchmark, run, read)
    # Local pods of one name may follow each other: what one gave back, the next one may hold.
    start = f"{settings.pod}-{uuid.uuid4().hex[:8]}"
    place = Place(run.spec_hash, settings.attempt, settings.shard, start)
    board = Board(share_units(place.attempt, place.shard, assignment.shards, manifest.estimates))
    done = set(await results.list_keys(RESULTS_PREFIX))
    held = Held(manifest, done, talked=set(await results.list_keys(TRANSCRIPTS_PREFIX)))
    caution = Caution(results, place, manifest, run.spec.retry.quarantine_after)
    dealt = assignment.shards[place.shard] if place.shard < len(assignment.shards) else []
    here = (place.attempt, place.shard, settings.pod)
    tally = Tally(run.spec_hash, *here, total=len(dealt), started_at=datetime.now(UTC), models=chat)
    return Shard(
        conductor=Conductor(run, benchmark, results, chat, caution, *here),
        queue=ClaimQueue(results, place, board, held, Holders(results, board), caution, stop),
        results=results,
        tally=tally,
        progress=ProgressWriter(results, tally, shortest=seconds_between_writes(run.spec.shards)),
        profile=chat.profile,
        named=RunningUnits(settings.termination_log),
        stop=stop,
        width=RunFile(settings.input_dir, run).width,
    )


async def prepare(benchmark: Benchmark, run: RunInput, read: Read) -> None:
    """Bring what conversations need besides models; raises StepError."""
    try:
        await benchmark.load(run.spec, read)
    except ValueError as error:
        raise BadInputError("BadBenchmark", f"spec.benchmark: {error}") from error
    await benchmark.equip(run.spec)


def seconds_between_writes(shards: int) -> float:
    """Seconds that a shard leaves between progress writes, so that all shards together write 100 times a second."""
    return max(SHORTEST_SECONDS, shards / 100)


async def read_plan(run: RunInput, settings: Settings, results: Results) -> tuple[Manifest, Assignment]:
    """Read what is to be done; raises BadInputError where plan and assignment are another run's."""
    manifest = await _read(results, MANIFEST_KEY, Manifest)
    assignment = await _read(results, assignment_key(settings.attempt), Assignment)
    for key, found in ((MANIFEST_KEY, manifest.spec_hash), ("assignment.json", assignment.spec_hash)):
        if found != run.spec_hash:
            raise BadInputError("ForeignPlan", f"{key} has spec hash {found}, this run has {run.spec_hash}")
    if any(index >= len(manifest.units) for shard in assignment.shards for index in shard):
        raise BadInputError("ForeignPlan", "the assignment names units that the manifest does not have")
    return manifest, assignment


async def _read(results: Results, key: str, kind: type[T]) -> T:
    body = await results.get(key)
    if body is None:
        raise StorageError("NoPlan", f"{key} is not in storage yet")
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise BadInputError("ForeignPlan", f"{key} in storage cannot be read: {error.errors()[0]['msg']}") from error
