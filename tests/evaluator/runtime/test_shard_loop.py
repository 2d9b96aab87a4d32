"""A shard with a scripted benchmark against real storage and a real HTTP server."""

import asyncio
import json
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime

import pytest
import zstandard

from toolorch_api.keys import error_key, profile_key, result_key, transcript_key
from toolorch_api.shard import ExitCode, Result
from toolorch_evaluator.benchmarks.base import Packaged
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.run_file import RunFile
from toolorch_evaluator.shard_step import run_shard


def by_task(complete, wrong="task 3"):
    """Answer "wrong" in one task, "right" in the others."""

    def answer(body, headers):
        return 200, complete("wrong" if body["messages"][0]["content"] == wrong else "right"), {}

    return answer


async def test_a_shard_stores_transcript_and_result_of_each_unit(make_world, model_servers, scripted, complete, shard):
    world, benchmark = make_world(), scripted(6)
    world.point(await model_servers(by_task(complete)))
    await world.assign(benchmark.units)

    assert await shard(world, benchmark) is ExitCode.OK

    assert len(world.keys("results")) == len(world.keys("transcripts")) == 6
    assert world.keys("errors") == []
    result = world.object(result_key(benchmark.units[3]))
    assert (result["status"], result["reward"], result["rewardBreakdown"]) == ("failed", 0.0, {"DB": 0.0})
    assert (result["endpoints"], result["served"], result["usage"]["calls"]) == (
        ["pool-a/pool-a-0"],
        {"agent": "tiny"},
        2,
    )
    body = (world.folder / "store" / transcript_key(benchmark.units[0])).read_bytes()
    transcript = json.loads(zstandard.decompress(body))
    assert (transcript["task_id"], len(transcript["messages"])) == ("task 0", 3)
    progress = world.object("progress/1-0.json")
    assert (progress["passed"], progress["failed"], progress["running"], progress["finished"]) == (5, 1, 0, True)
    assert (progress["usage"]["calls"], len(progress["recentEnds"])) == (12, 6)
    assert world.keys("attempts/1/0") == [profile_key(1, 0, progress["pod"])]


async def test_what_the_agent_wrote_is_told_as_a_hash_by_which_results_compare(
    make_world, model_servers, scripted, complete, shard
):
    world, benchmark = make_world(), scripted(4)

    def answer(body, headers):
        task = body["messages"][0]["content"]
        calls = [("look", json.dumps({"id": 1 if task == "task 2" else 2, "where": "here"}))]
        return 200, complete("wrong" if task == "task 3" else "right", calls), {}

    world.point(await model_servers(answer))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    outputs = [world.object(result_key(unit))["outputs"] for unit in benchmark.units]
    assert (len(outputs[0]), outputs[0] == outputs[1], len(set(outputs))) == (16, True, 3)


async def test_a_restarted_shard_calls_no_model_and_counts_what_is_there(
    make_world, model_servers, scripted, complete, shard
):
    world, benchmark = make_world(), scripted(5)
    server = await model_servers(by_task(complete))
    world.point(server)
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    calls = len(server.requests)

    assert await shard(world, benchmark) is ExitCode.OK

    assert len(server.requests) == calls
    progress = world.object("progress/1-0.json")
    assert (progress["passed"], progress["failed"], progress["usage"]["calls"]) == (4, 1, 10)


async def test_a_pod_that_died_between_transcript_and_result_leaves_only_grading(
    make_world, model_servers, scripted, complete, shard
):
    world, benchmark = make_world(), scripted(4)
    world.point(await model_servers(by_task(complete)))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    (world.folder / "store" / result_key(benchmark.units[3])).unlink()
    benchmark.talks.clear()

    assert await shard(world, benchmark, attempt=1) is ExitCode.OK

    assert benchmark.talks == []
    result = world.object(result_key(benchmark.units[3]))
    assert (result["status"], result["usage"]["calls"], result["endpoints"]) == ("failed", 2, ["pool-a/pool-a-0"])


async def test_failed_grading_is_an_infra_error_and_the_next_attempt_only_grades(
    make_world, model_servers, scripted, shard
):
    world, benchmark = make_world(), scripted(2, broken_score="the judge is away")
    server = await model_servers()
    world.point(server)
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    error = world.object(error_key(benchmark.units[0]))
    assert (error["status"], error["cause"], error["message"]) == (
        "infra_error",
        "grading_failed",
        "the judge is away",
    )
    assert world.keys("results") == []

    benchmark.broken_score = ""
    calls = len(server.requests)
    await world.assign(benchmark.units, attempt=2)
    assert await shard(world, benchmark, attempt=2) is ExitCode.OK
    assert len(world.keys("results")) == 2
    assert len(server.requests) == calls


async def test_a_damaged_transcript_is_talked_again(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(), scripted(1)
    world.point(await model_servers())
    await world.assign(benchmark.units)
    await world.results.put(transcript_key(benchmark.units[0]), b"half")
    assert await shard(world, benchmark) is ExitCode.OK
    assert len(benchmark.talks) == 1
    assert world.object(result_key(benchmark.units[0]))["status"] == "passed"
    assert zstandard.decompress((world.folder / "store" / transcript_key(benchmark.units[0])).read_bytes())


async def test_a_model_servers_error_is_an_infra_error_and_never_a_failed_task(
    make_world, model_servers, scripted, shard
):
    world, benchmark = make_world(), scripted(3)
    world.point(await model_servers(lambda body, headers: (500, "boom", {})))
    await world.assign(benchmark.units)

    assert await shard(world, benchmark) is ExitCode.OK

    assert world.keys("results") == world.keys("transcripts") == []
    assert world.object(error_key(benchmark.units[0]))["cause"] == "model_server_error"
    progress = world.object("progress/1-0.json")
    assert (progress["infraErrors"], progress["failed"], progress["finished"]) == (3, 0, True)


async def test_an_outgrown_context_and_an_unreadable_reply_are_final_and_worth_nothing(
    make_world, model_servers, scripted, complete, shard
):
    world, benchmark = make_world(), scripted(2)

    def answer(body, headers):
        if body["messages"][0]["content"] == "task 0":
            return 400, "This model's maximum context length is 10 tokens", {}
        return 200, complete(None, [("look", "{broken")]), {}

    world.point(await model_servers(answer))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    ends = [world.object(result_key(u)) for u in benchmark.units]
    assert [(e["status"], e["reward"], e["terminationReason"]) for e in ends] == [
        ("failed", 0.0, "context_window_exceeded"),
        ("failed", 0.0, "invalid_reply"),
    ]


async def test_a_unit_past_its_deadline_is_an_infra_error(make_world, model_servers, scripted, shard):
    world = make_world(deadlines={"callSeconds": 1, "unitSeconds": 1})
    benchmark = scripted(2, turns=20)
    world.point(await model_servers(delay=0.3))
    await world.assign(benchmark.units)
    assert await shard(world, benchmark) is ExitCode.OK
    assert world.object(error_key(benchmark.units[1]))["cause"] == "unit_deadline"


async def test_a_bug_costs_its_own_unit_only(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(), scripted(3)
    world.point(await model_servers())
    await world.assign(benchmark.units)

    class Buggy(Packaged):
        name = "tau2"
        score = benchmark.score

        async def converse(self, unit, spec, ask):
            if unit == benchmark.units[1]:
                raise KeyError("order")
            return await benchmark.converse(unit, spec, ask)

    await shard(world, Buggy())
    error = world.object(error_key(benchmark.units[1]))
    assert (error["cause"], error["message"]) == ("internal_error", "KeyError: 'order'")
    assert len(world.keys("results")) == 2


async def test_a_unit_that_another_shard_ended_first_is_that_shards_to_count(
    make_world, model_servers, scripted, complete, shard
):
    world, benchmark = make_world(), scripted(1)
    await world.assign(benchmark.units)
    unit, now = benchmark.units[0], datetime.now(UTC)
    other = Result(
        **asdict(unit),
        status="failed",
        reward=0,
        started_at=now,
        ended_at=now,
        spec_hash=world.run.spec_hash,
        attempt=1,
        shard=1,
        pod="other",
    )

    def answer(body, headers):
        path = world.folder / "store" / result_key(unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(other.model_dump_json(by_alias=True))
        return 200, complete(), {}

    world.point(await model_servers(answer))
    await shard(world, benchmark)
    assert world.object(result_key(unit))["pod"] == "other"
    progress = world.object("progress/1-0.json")
    assert (progress["passed"], progress["failed"], progress["finished"]) == (0, 0, True)


async def test_no_more_units_run_at_once_than_the_spec_says(make_world, model_servers, scripted, complete, shard):
    world, benchmark = make_world(concurrencyPerShard=3), scripted(9, turns=1)
    running = {"now": 0, "most": 0}
    server = await model_servers(delay=0.03)
    handle = server.handle

    async def watched(request):
        running["now"] += 1
        running["most"] = max(running["most"], running["now"])
        try:
            return await handle(request)
        finally:
            running["now"] -= 1

    server.answer = lambda body, headers: (200, complete(), {})
    world.point(await model_servers(handler=watched))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    assert running["most"] == 3


async def test_the_last_progress_comes_right_after_the_last_result(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(), scripted(4)
    world.point(await model_servers(delay=0.05))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    last = max((world.folder / "store" / key).stat().st_mtime for key in world.keys("results"))
    told = (world.folder / "store" / "progress/1-0.json").stat().st_mtime
    assert 0 <= told - last < 0.2


@dataclass
class Away:
    """A store that fails for a while: every request from the `after`-th on, `times` times."""

    store: object
    after: int
    times: int
    seen: int = 0
    requests: list = field(default_factory=list)

    def _fail(self, key):
        self.requests.append(key)
        self.seen += 1
        if self.after <= self.seen < self.after + self.times:
            raise OSError("connection refused")

    async def put_async(self, path, file, **more):
        self._fail(path)
        return await self.store.put_async(path, file, **more)

    async def get_async(self, path):
        self._fail(path)
        return await self.store.get_async(path)

    def list(self, prefix=None, **more):
        self._fail(prefix)
        return self.store.list(prefix, **more)


async def test_storage_that_is_away_for_a_while_loses_nothing(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(), scripted(6)
    server = await model_servers()
    world.point(server)
    await world.assign(benchmark.units)
    away = Away(open_store(world.run.root), after=7, times=15)
    results = Results(away, longest_pause=0.05)
    assert await shard(world, benchmark, results=results) is ExitCode.OK
    assert len(world.keys("results")) == 6
    assert len(server.requests) == 12, "no conversation is held twice"


async def test_storage_that_stays_away_ends_the_shard_as_infra(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(), scripted(3)
    world.point(await model_servers())
    await world.assign(benchmark.units)
    results = Results(Away(open_store(world.run.root), after=6, times=10**6), patience=0.2, longest_pause=0.05)
    with pytest.raises(StorageError, match="storage stayed away"):
        await shard(world, benchmark, results=results)


async def test_storage_requests_are_two_per_unit_three_per_claim_and_few_more(
    make_world, model_servers, scripted, shard
):
    world, benchmark = make_world(), scripted(20)
    world.point(await model_servers())
    await world.assign(benchmark.units)
    counted = Away(open_store(world.run.root), after=0, times=0)
    await shard(world, benchmark, results=Results(counted))
    per_unit = [key for key in counted.requests if key.startswith(("results/c", "transcripts/c"))]
    assert len(per_unit) == 40
    claims = [key for key in counted.requests if key.startswith("claims/")]
    assert len(claims) <= 3 * len(world.keys("claims/1/0")) + 1
    assert len(counted.requests) - len(per_unit) - len(claims) <= 12


async def test_an_attempt_without_assignment_is_said_in_a_sentence(make_world, scripted):
    world, benchmark = make_world(), scripted(1)
    await world.assign(benchmark.units)
    settings = replace(world.settings, attempt=9)
    with pytest.raises(StorageError, match=r"assignment\.json is not in storage"):
        await run_shard(world.run, settings, benchmark, world.results, asyncio.Event())


async def test_a_shard_that_is_not_in_the_assignment_takes_units_of_the_others(make_world, model_servers, scripted):
    world, benchmark = make_world(), scripted(5)
    world.point(await model_servers())
    await world.assign(benchmark.units)
    settings = replace(world.settings, shard=3)
    assert await run_shard(world.run, settings, benchmark, world.results, asyncio.Event()) is ExitCode.OK
    progress = world.object("progress/1-3.json")
    assert (progress["total"], progress["passed"], progress["finished"]) == (0, 5, True)


async def test_more_units_run_at_once_when_the_mounted_spec_says_so(make_world, scripted):
    world = make_world(concurrencyPerShard=1)
    file = RunFile(world.folder / "input", world.run)
    before = file.width()

    def rewrite(**change):
        told = world.run.model_copy(update=change)
        fresh = world.folder / "input" / "run.new"
        fresh.write_text(told.model_dump_json(by_alias=True))
        fresh.rename(world.folder / "input" / "run.json")

    wider = world.run.spec.model_copy(update={"concurrency_per_shard": 3})
    rewrite(spec=wider, spec_hash="another run's")
    foreign = file.width()
    rewrite(spec=wider)
    assert (before, foreign, file.width()) == (1, 1, 3)
    (world.folder / "input" / "run.json").write_text("half")
    assert file.width() == 3


async def test_another_specs_plan_is_never_run(make_world, scripted, shard):
    world, benchmark = make_world(), scripted(1)
    await world.assign(benchmark.units)
    world.run = world.run.model_copy(update={"spec_hash": "f" * 16})
    with pytest.raises(BadInputError, match="has spec hash"):
        await shard(world, benchmark)


async def test_a_drain_lets_running_units_end_and_begins_no_more(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(concurrencyPerShard=2), scripted(10)
    world.point(await model_servers(delay=0.1))
    await world.assign(benchmark.units)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.15, stop.set)
    began = time.monotonic()
    assert await shard(world, benchmark, stop=stop) is ExitCode.DRAINED
    assert time.monotonic() - began < 2
    done = len(world.keys("results"))
    assert 1 <= done < 10
    progress = world.object("progress/1-0.json")
    assert (progress["passed"], progress["finished"], progress["running"]) == (done, False, 0)
    assert len(benchmark.talks) == done, "what began was finished"
