"""Units that kill what runs them: they run alone, then not at all, and the others go on."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from toolorch_api.deaths import Death
from toolorch_api.keys import death_key, error_key
from toolorch_api.shard import ExitCode
from toolorch_evaluator.benchmarks.base import Packaged
from toolorch_evaluator.caution import Solitude


@pytest.fixture
def died():
    """Write down that something died of these units."""

    async def write(world, name, units, attempt=1, count=1, spec_hash=""):
        death = Death(spec_hash=spec_hash or world.run.spec_hash, attempt=attempt, what="pod", units=units, count=count)
        await world.results.put(death_key(attempt, name), death.model_dump_json(by_alias=True).encode())

    return write


@dataclass
class Watched(Packaged):
    """A benchmark that remembers which units ran beside which."""

    inner: Any
    name: str = "tau2"
    now: set = field(default_factory=set)
    beside: dict = field(default_factory=dict)
    order: list = field(default_factory=list)

    def score(self, transcript):
        return self.inner.score(transcript)

    async def converse(self, unit, spec, ask):
        task = int(unit.task_id.removeprefix("task "))
        self.order.append(task)
        self.now.add(task)
        self.beside[task] = set()
        for other in self.now - {task}:
            self.beside[task].add(other)
            self.beside[other].add(task)
        try:
            return await self.inner.converse(unit, spec, ask)
        finally:
            self.now.discard(task)


async def test_suspects_run_first_and_one_after_another_and_nothing_runs_beside_them(
    make_world, model_servers, scripted, shard, died
):
    world = make_world(concurrencyPerShard=4)
    benchmark = Watched(scripted(12))
    world.point(await model_servers(delay=0.01))
    await world.assign(benchmark.inner.units)
    await died(world, "pod-0", [1, 3, 5])

    assert await shard(world, benchmark) is ExitCode.OK

    assert sorted(benchmark.order[:3]) == [1, 3, 5]
    assert [benchmark.beside[task] for task in (1, 3, 5)] == [set()] * 3
    assert any(benchmark.beside.values()), "the others ran side by side"
    assert len(world.keys("results")) == 12


async def test_quarantined_units_are_not_begun_and_keep_no_shard_from_finishing(
    make_world, model_servers, scripted, shard, died
):
    world, benchmark = make_world(), scripted(6)
    world.point(await model_servers())
    await world.assign(benchmark.units)
    await died(world, "pod-0", [1, 2, 4])
    await died(world, "pod-1", [2], count=2)
    await died(world, "pod-2", [4], count=3, spec_hash="another configuration")
    await world.results.put("deaths/1/damaged.json", b"{")

    assert await shard(world, benchmark) is ExitCode.OK

    assert benchmark.units[2] not in benchmark.talks
    assert len(world.keys("results")) == 5
    progress = world.object("progress/1-0.json")
    assert (progress["finished"], progress["passed"], progress["total"]) == (True, 5, 6)


async def test_a_new_pod_reads_the_deaths_of_the_one_before_it(make_world, model_servers, scripted, shard, died):
    world = make_world(concurrencyPerShard=3)
    benchmark = Watched(scripted(3))
    server = await model_servers(delay=30)
    world.point(server)
    await world.assign(benchmark.inner.units)
    pod = asyncio.create_task(shard(world, benchmark))
    await server.asked(3)
    pod.cancel()
    await asyncio.gather(pod, return_exceptions=True)
    for key in world.keys("claims/1/0/left"):
        (world.folder / "store" / key).unlink()
    await died(world, "pod-1", [0, 1, 2])
    server.delay = 0.01

    assert await shard(world, benchmark, pod="pod-2") is ExitCode.OK

    assert [benchmark.beside[task] for task in range(3)] == [set()] * 3
    assert len(world.keys("results")) == 3


async def test_a_drain_ends_a_suspect_too_and_begins_nobody_who_waits_for_it(
    make_world, model_servers, scripted, shard, died
):
    world, benchmark = make_world(concurrencyPerShard=4), scripted(8, turns=1)
    server = await model_servers(delay=0.1)
    world.point(server)
    await world.assign(benchmark.units)
    await died(world, "pod-0", [2])
    stop = asyncio.Event()
    pod = asyncio.create_task(shard(world, benchmark, stop=stop))
    await server.asked(1)
    stop.set()
    assert await pod is ExitCode.DRAINED
    assert benchmark.talks == [benchmark.units[2]]
    assert len(world.keys("results")) == 1


async def break_off(request):
    """Die in the middle of a call."""
    request.transport.close()
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("suspects", "losses"),
    [pytest.param([], 3, id="three in one call"), pytest.param([0], 1, id="one of a suspect's that ran alone")],
)
async def test_the_deaths_of_model_servers_in_a_call_are_kept_with_the_unit_that_made_it(
    make_world, model_servers, scripted, shard, died, suspects, losses
):
    world, benchmark = make_world(), scripted(1)
    world.point(await model_servers(handler=break_off))
    await world.assign(benchmark.units)
    if suspects:
        await died(world, "pod-0", [*suspects, 9])

    assert await shard(world, benchmark) is ExitCode.OK

    assert world.object(error_key(benchmark.units[0]))["cause"] == "model_server_lost"
    (key,) = set(world.keys("deaths")) - {"deaths/1/pod-0.json"}
    death = world.object(key)
    assert (death["what"], death["units"], death["count"]) == ("server", [0], losses)
    assert death["specHash"] == world.run.spec_hash


async def test_units_that_were_in_calls_to_a_server_as_it_died_share_its_death(
    make_world, model_servers, scripted, shard
):
    world, benchmark = make_world(concurrencyPerShard=2), scripted(2)
    came = Counter()
    together = asyncio.Event()

    async def die_of_two(request):
        came["calls"] += 1
        if came["calls"] == 2:
            together.set()
        await together.wait()
        await break_off(request)

    world.point(await model_servers(handler=die_of_two))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    deaths = [world.object(key) for key in world.keys("deaths")]
    assert sorted(death["units"] for death in deaths) == [[0, 1], [1, 0]]


async def test_one_who_is_called_off_while_it_waits_to_be_alone_keeps_nobody_out():
    room = Solitude()

    async def alone():
        async with room.door:
            await room.wait_empty()

    with room.enter():
        waiting = asyncio.create_task(alone())
        await asyncio.sleep(0)
        assert room.door.locked()
        assert not room.is_empty
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not room.door.locked()
    async with asyncio.timeout(1):
        await alone()
