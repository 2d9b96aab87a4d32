"""What a shard's progress object says: counts from results, usage of all its pods, signs of life."""

import asyncio
import os
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from toolorch_api.evalrun_status import Usage
from toolorch_api.keys import progress_key
from toolorch_api.shard import ExitCode, Progress, Result, Unit
from toolorch_evaluator.progress import ProgressWriter
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.tally import RECENT, Ended, Tally

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass
class Models:
    """What calls have cost, as told."""

    spent: Usage = field(default_factory=Usage)
    last_answer_at: datetime | None = None


def make_tally(shard=0, attempt=1, models=None):
    return Tally("h", attempt, shard, "pod", total=100, started_at=NOON, models=models)


def make_end(number, status="passed", here=True, shard=0, attempt=1, seconds=60):
    ends = NOON + timedelta(seconds=seconds)
    result = Result(
        **asdict(Unit("control", "retail", str(number), 0)), status=status, started_at=NOON, ended_at=ends,
        usage=Usage(calls=7), spec_hash="h", attempt=attempt, shard=shard, pod="pod",
    )  # fmt: skip
    return Ended(result, here)


def tell(tally):
    return tally.progress(NOON)


def test_the_newest_ends_are_told_in_order_each_with_how_long_it_took():
    tally = make_tally()
    for n in range(RECENT + 8):
        tally.add(make_end(n, seconds=100 + n), NOON - timedelta(minutes=n))
    told = tell(tally)
    assert len(told.recent_ends) == len(told.recent_seconds) == RECENT
    assert told.recent_ends == sorted(told.recent_ends)
    assert (told.recent_ends[-1], told.recent_seconds[-1], told.recent_seconds[0]) == (NOON, 100.0, 131.0)


def test_a_unit_that_ends_twice_counts_once_and_as_it_ended_last():
    tally = make_tally()
    tally.add(make_end(1, "infra_error"), NOON)
    tally.add(make_end(1, "failed"), NOON)
    tally.add(make_end(1, "failed", here=False), NOON)
    told = tell(tally)
    assert (told.infra_errors, told.failed, tally.ended) == (0, 1, 1)


def test_what_another_shard_or_attempt_ended_first_is_counted_there():
    tally = make_tally(attempt=2)
    tally.add(make_end(1, here=False, shard=3, attempt=2), NOON)
    tally.add(make_end(2, here=False, attempt=1), NOON)
    tally.add(make_end(3, here=False, attempt=2), NOON)
    tally.add(make_end(4, attempt=1), NOON)
    assert (tell(tally).passed, tally.elsewhere) == (2, 2), "4 was held in an earlier attempt and graded in this one"


def test_usage_is_all_that_was_spent_and_not_what_results_say():
    tally = make_tally(models=Models(Usage(prompt_tokens=100, calls=9)))
    before = Progress(
        spec_hash="h", attempt=1, shard=0, pod="before", total=100, passed=50, usage=Usage(prompt_tokens=5, calls=2),
        last_answer_at=NOON, open_files=300, started_at=NOON, updated_at=NOON,
    )  # fmt: skip
    tally.resume(before.model_copy(update={"spec_hash": "another configuration"}))
    assert tell(tally).usage.calls == 9
    tally.resume(before)
    tally.add(make_end(1), NOON)
    told = tell(tally)
    assert (told.usage.prompt_tokens, told.usage.calls, told.passed) == (105, 11, 1)
    assert (told.last_answer_at, told.open_files) == (NOON, 300)
    tally.models.last_answer_at = NOON + timedelta(minutes=1)
    assert tell(tally).last_answer_at == NOON + timedelta(minutes=1)


async def test_calls_of_units_that_were_lost_stay_on_the_account_over_all_pods_of_a_shard(
    make_world, model_servers, scripted, complete, shard
):
    world, benchmark = make_world(concurrencyPerShard=1), scripted(2, turns=3)
    asked = iter(range(1000))
    stop = asyncio.Event()

    def answer(body, headers):
        if next(asked) == 1:
            stop.set()
        return (400, "no such thing", {}) if stop.is_set() else (200, complete(), {})

    server = await model_servers(answer)
    world.point(server)
    await world.assign(benchmark.units)
    assert await shard(world, benchmark, stop=stop) is ExitCode.DRAINED
    first = world.object("progress/1-0.json")
    assert (first["usage"]["calls"], first["infraErrors"]) == (1, 1), "answered once, then refused"

    server.answer = lambda body, headers: (200, complete(), {})
    assert await shard(world, benchmark, pod="pod-2") is ExitCode.OK
    second = world.object("progress/1-0.json")
    assert (second["usage"]["calls"], second["passed"]) == (1 + 6, 2)
    results = [world.object(key)["usage"]["calls"] for key in world.keys("results")]
    assert results == [3, 3]
    assert second["lastAnswerAt"] > first["lastAnswerAt"]
    assert 0 < second["openFiles"] < 400


async def test_the_most_open_files_are_told_wherever_they_were_seen(tmp_path):
    tally = make_tally()
    writer = ProgressWriter(Results(open_store(f"file://{tmp_path}")), tally)
    await writer.write(finished=False)
    before = tally.open_files
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    await writer.write(finished=False)
    for file in files:
        os.close(file)
    await writer.write(finished=True)
    told = Progress.model_validate_json((tmp_path / progress_key(1, 0)).read_bytes())
    assert told.open_files == tally.open_files >= before + 20


async def test_an_unreadable_progress_object_still_says_that_there_was_a_pod(tmp_path):
    results = Results(open_store(f"file://{tmp_path}"))
    writer = ProgressWriter(results, make_tally())
    assert await writer.resume() is False
    await results.put(progress_key(1, 0), b"{")
    assert await writer.resume() is True
