"""Told to stop, a shard ends within the 30 s that Kubernetes gives it, whatever storage does meanwhile."""

import asyncio
import importlib.util
import logging
import random
import sys
from pathlib import Path

import pytest
import structlog

from toolorch_api.shard import ExitCode
from toolorch_evaluator.drain import BEAT_SECONDS, CLOSE_SECONDS, GRACE_SECONDS, LAST_WORDS_SECONDS, in_time
from toolorch_evaluator.results import Results
from toolorch_evaluator.shard_step import run_shard

_PATH = Path(__file__).parents[3] / "hack" / "simulation.py"
_SPEC = importlib.util.spec_from_file_location("simulation", _PATH)
simulation = sys.modules.setdefault("simulation", importlib.util.module_from_spec(_SPEC))
_SPEC.loader.exec_module(simulation)

KUBERNETES_SECONDS = 30
# For Python's own end, and a loaded node.
RESERVE_SECONDS = 2


@pytest.fixture(autouse=True)
def quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


class Failing(simulation.Bucket):
    """Storage that from a moment on hangs, or refuses, for so long."""

    since = float("inf")
    until = float("inf")
    how = ""

    def is_away(self):
        return self.since <= asyncio.get_running_loop().time() < self.until


class Line(simulation.Line):
    async def _wait(self, kind, share=1.0):
        bucket = self.bucket
        if bucket.is_away() and bucket.how == "hangs":
            await asyncio.sleep(bucket.until - asyncio.get_running_loop().time())
        if bucket.is_away():
            await asyncio.sleep(0.01)
            raise OSError("503 SlowDown")
        await super()._wait(kind, share)


def make_fleet(how, since, until=10**6, seconds=(40.0,) * 12):
    bucket = Failing(random.Random(1), 0.05)
    bucket.since, bucket.until, bucket.how = since, until, how
    manifest = simulation.build_manifest(seconds, len(seconds))
    taken = {manifest.unit(i): s for i, s in enumerate(seconds)}
    fleet = simulation.Fleet(bucket, manifest, taken, [list(range(len(seconds)))], 4, [1.0])
    fleet.make_line = Line
    return fleet


async def stopped_after(fleet, second):
    """Run one pod, tell it to stop, and return how long it took to end, and how."""
    pod = asyncio.create_task(fleet.start(0))
    await asyncio.sleep(second)
    fleet.stops[0].set()
    began = asyncio.get_running_loop().time()
    code = await pod
    return asyncio.get_running_loop().time() - began, code


def test_the_parts_of_a_drain_leave_a_reserve():
    parts = GRACE_SECONDS + BEAT_SECONDS + LAST_WORDS_SECONDS + CLOSE_SECONDS
    assert parts + RESERVE_SECONDS <= KUBERNETES_SECONDS


@pytest.mark.parametrize("how", ["hangs", "refuses"])
@pytest.mark.parametrize(
    ("since", "second"),
    [
        pytest.param(0.3, 1.0, id="away before anything is claimed"),
        pytest.param(20.0, 30.0, id="away with units running"),
        pytest.param(39.0, 45.0, id="away as units end and others are to be begun"),
        pytest.param(30.1, 30.0, id="away just after the signal"),
        pytest.param(50.0, 30.0, id="away at the last words"),
    ],
)
def test_a_drain_ends_in_time_with_storage_away(how, since, second):
    took, code = simulation.run_simulated(stopped_after(make_fleet(how, since), second))
    assert took <= KUBERNETES_SECONDS - RESERVE_SECONDS
    assert code is ExitCode.DRAINED


def test_what_is_given_back_is_told_while_units_still_have_their_grace_or_right_after():
    fleet = make_fleet("", since=10**6)
    took, code = simulation.run_simulated(stopped_after(fleet, 5.0))
    assert (round(took), code) == (20, ExitCode.DRAINED)
    assert "claims/1/0/left/pod-0.json" in fleet.bucket.objects


def test_storage_that_refuses_for_a_minute_costs_no_unit_and_ends_no_shard():
    fleet = make_fleet("refuses", since=30.0, until=90.0, seconds=[15.0, 25.0, 40.0] * 8)
    simulation.run_simulated(fleet.start(0))
    results = [key for key in fleet.bucket.objects if key.startswith("results/")]
    assert (len(results), set(fleet.began.values())) == (24, {1})


async def test_a_signal_before_storage_has_answered_at_all_ends_the_shard_at_once(make_world, scripted):
    world, stop = make_world(), asyncio.Event()

    class Hanging:
        async def get_async(self, path):
            stop.set()
            await asyncio.sleep(600)

    results = Results(Hanging())
    async with asyncio.timeout(5):
        assert await run_shard(world.run, world.settings, scripted(1), results, stop) is ExitCode.DRAINED


async def test_work_that_is_done_in_time_says_what_it_found_and_what_broke_it():
    stop = asyncio.Event()

    async def breaks():
        raise ValueError("broken")

    assert await in_time(asyncio.sleep(0, "found"), stop, 0) == "found"
    with pytest.raises(ValueError, match="broken"):
        await in_time(breaks(), stop, 0)
    stop.set()
    assert await in_time(asyncio.sleep(0.01, "found"), stop, 5) == "found"
    with pytest.raises(TimeoutError):
        await in_time(asyncio.sleep(60), stop, 0.01)
