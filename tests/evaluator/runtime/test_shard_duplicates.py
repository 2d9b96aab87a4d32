"""Units that run twice, and pods that die between two writes: one result, of the conversation that is stored."""

import asyncio
import json

import pytest
import zstandard

from toolorch_api.keys import error_key, left_key, result_key, transcript_key
from toolorch_api.shard import ExitCode
from toolorch_evaluator.results import Results, open_store


class Loose:
    """Files behind a store whose creates are atomic, racy (it looks first and writes later), or no creates at all."""

    def __init__(self, store, create):
        self.store = store
        self.create = create

    async def put_async(self, path, file, *, mode=None, **more):
        if mode == "create" and self.create == "racy":
            taken = await self.has(path)
            await asyncio.sleep(0.02)
            if taken:
                raise FileExistsError(path)
        mode = mode if self.create == "atomic" else None
        await self.store.put_async(path, file, mode=mode or "overwrite", **more)

    async def has(self, path):
        try:
            await self.store.get_async(path)
        except FileNotFoundError:
            return False
        return True

    async def get_async(self, path):
        return await self.store.get_async(path)

    def list(self, prefix=None, **more):
        return self.store.list(prefix, **more)


class Quick(Results):
    """Waits shorter for other writers."""

    async def probe_create(self, key, settle=0.05):
        await super().probe_create(key, settle)


def stored(world, unit):
    """Return a unit's result, and what its transcript says of itself."""
    transcript = (world.folder / "store" / transcript_key(unit)).read_bytes()
    return world.object(result_key(unit)), json.loads(zstandard.decompress(transcript))


@pytest.mark.parametrize("create", ["atomic", "racy", "ignored"])
async def test_two_pods_of_one_shard_at_once_leave_one_result_of_the_stored_conversation(
    make_world, model_servers, scripted, complete, shard, create
):
    world, benchmark = make_world(concurrencyPerShard=6), scripted(6)
    said = iter(range(10_000))
    began = {6: asyncio.Event(), 12: asyncio.Event()}
    talk = benchmark.converse

    async def converse(*unit):
        if (event := began.get(len(benchmark.talks) + 1)) is not None:
            event.set()
        return await talk(*unit)

    async def handle(request):
        await began[12].wait()
        return await server.handle(request)

    server = await model_servers(lambda body, headers: (200, complete(f"answer {next(said)}"), {}))
    world.point(await model_servers(handler=handle))
    benchmark.converse = converse
    await world.assign(benchmark.units)

    def begin(pod):
        results = Quick(Loose(open_store(world.run.root), create))
        return asyncio.create_task(shard(world, benchmark, pod=pod, results=results))

    zombie = begin("pod-1")
    await began[6].wait()
    codes = await asyncio.gather(zombie, begin("pod-2"))

    assert set(codes) <= {ExitCode.OK, ExitCode.DRAINED}
    assert ExitCode.OK in codes
    assert len(world.keys("results")) == 6
    for unit in benchmark.units:
        result, transcript = stored(world, unit)
        told = transcript["run"]
        assert (result["outputs"], result["pod"]) == (told["outputs"], told["pod"])
    progress = world.object("progress/1-0.json")
    assert progress["passed"] + progress["failed"] <= progress["total"] == 6


async def test_a_pod_that_was_replaced_begins_nothing_more_and_tells_no_progress(
    make_world, model_servers, scripted, shard
):
    world, benchmark = make_world(concurrencyPerShard=1), scripted(8)
    server = await model_servers(delay=0.05)
    world.point(server)
    await world.assign(benchmark.units)
    zombie = asyncio.create_task(shard(world, benchmark, pod="pod-1"))
    await server.asked(1)
    (claim,) = world.keys("claims/1/0/")[:1]
    await world.results.put(left_key("claims/1/0/", world.object(claim)["pod"]), b"{}")
    told = world.object("progress/1-0.json") | {"pod": "pod-2"}
    await world.results.put("progress/1-0.json", json.dumps(told).encode())

    assert await zombie is ExitCode.DRAINED

    assert len(benchmark.talks) == len(world.keys("results")) < 8
    assert world.object("progress/1-0.json")["pod"] == "pod-2"


async def test_a_pod_that_dies_between_result_and_progress_is_counted_from_the_results(
    make_world, model_servers, scripted, shard
):
    world, benchmark = make_world(concurrencyPerShard=2), scripted(5)
    world.point(await model_servers())
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    progress = world.object("progress/1-0.json")
    told = progress | {"passed": 1, "running": 2, "finished": False, "recentEnds": [], "recentSeconds": []}
    await world.results.put("progress/1-0.json", json.dumps(told).encode())
    (world.folder / "store" / result_key(benchmark.units[4])).unlink()

    assert await shard(world, benchmark, pod="pod-2") is ExitCode.OK

    again = world.object("progress/1-0.json")
    assert (again["passed"], again["running"], len(again["recentEnds"])) == (5, 0, 5)
    assert len(benchmark.talks) == 5, "the fifth was only graded again"


async def test_what_a_model_cannot_end_is_not_final_where_another_pod_has_ended_it(
    make_world, model_servers, scripted, complete, shard
):
    world, benchmark = make_world(), scripted(1)
    unit = benchmark.units[0]
    world.point(await model_servers())
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    path = world.folder / "store" / transcript_key(unit)
    body = path.read_bytes()
    for key in (result_key(unit), transcript_key(unit)):
        (world.folder / "store" / key).unlink()

    def answer(body_, headers):
        path.write_bytes(body)
        return 400, "This model's maximum context length is 10 tokens", {}

    world.point(await model_servers(answer))
    await shard(world, benchmark)
    result, transcript = stored(world, unit)
    assert (result["status"], result["outputs"]) == ("passed", transcript["run"]["outputs"])


async def test_an_infra_error_is_no_end_for_the_pod_that_comes_after(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(), scripted(2)
    world.point(await model_servers(lambda body, headers: (500, "boom", {})))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    assert len(world.keys("errors")) == 2
    world.point(await model_servers())
    assert await shard(world, benchmark, pod="pod-2") is ExitCode.OK
    progress = world.object("progress/1-0.json")
    assert (progress["passed"], progress["infraErrors"]) == (2, 0)
    assert world.object(error_key(benchmark.units[0]))["pod"] == "pod-1"


@pytest.mark.parametrize(("create", "second"), [("atomic", False), ("racy", False), ("ignored", False)])
async def test_a_key_that_is_taken_stays_as_it_is_however_storage_creates(tmp_path, create, second):
    results = Results(Loose(open_store(f"file://{tmp_path}"), create))
    await results.probe_create("probe", settle=0.05)
    first = await asyncio.gather(*(results.put_new("key", bytes([n])) for n in range(4)))
    body = await results.get("key")
    assert sum(first) == 1
    assert first[body[0]], "who is told that it won has its body there"
    assert await results.put_new("key", b"late") is second
    assert await results.get("key") == body
