"""How many file descriptors a shard has open: connections to model servers above all."""

import asyncio
import itertools
from pathlib import Path

import pytest

from toolorch_api.shard import ExitCode
from toolorch_evaluator.chat import Patience
from toolorch_evaluator.clients import Clients
from toolorch_evaluator.endpoints import PoolFiles
from toolorch_evaluator.shard_step import run_shard

WIDTH = 64
# Of which a process has 1,024 where nobody raised the limit.
MOST_DESCRIPTORS = 400


def count_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def watched(scripted):
    """Build a benchmark of one call per unit that looks at the open descriptors at each answer."""

    def build(units):
        benchmark = scripted(units, turns=1)
        benchmark.seen, converse = [], benchmark.converse

        async def watch(unit, spec, ask):
            transcript = await converse(unit, spec, ask)
            benchmark.seen.append(count_descriptors())
            return transcript

        benchmark.converse = watch
        return benchmark

    return build


@pytest.mark.parametrize(
    "units", [pytest.param(100, id="100 units"), pytest.param(2000, id="2,000 units", marks=pytest.mark.cluster)]
)
async def test_descriptors_stay_few_however_many_units_a_shard_runs(
    make_world, model_servers, watched, complete, units
):
    world = make_world(concurrencyPerShard=WIDTH)
    numbers = itertools.count(1)

    def falter(body, headers):
        """Fail now and then, so that units move and every server is called by most of them."""
        return (200, complete(), {}) if next(numbers) % 5 else (503, "busy", {})

    world.point(*[await model_servers(falter, delay=0.15) for _ in range(4)])
    benchmark = watched(units)
    await world.assign(benchmark.units)
    before = count_descriptors()
    patience = Patience(first_pause=0.001)
    code = await run_shard(world.run, world.settings, benchmark, world.results, asyncio.Event(), patience)
    assert (code, len(benchmark.seen)) == (ExitCode.OK, units)
    most = max(benchmark.seen) - before
    print(f"{units} units, {WIDTH} at once: at most {most} descriptors, with both ends of each connection")
    assert WIDTH < most <= MOST_DESCRIPTORS


@pytest.mark.parametrize(("servers", "idle"), [(1, 128), (4, 32), (64, 2), (200, 2)])
def test_idle_connections_are_shared_out_among_all_servers(make_world, servers, idle):
    class Address:
        def __init__(self, n):
            self.url = f"http://127.0.0.1:{n + 1}/v1"

    world = make_world(concurrencyPerShard=WIDTH)
    world.point(*[Address(n) for n in range(servers)])
    clients = Clients(world.run, PoolFiles(world.settings.input_dir))
    assert clients.idle_per_server() == idle
