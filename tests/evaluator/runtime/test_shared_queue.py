"""Shards that share a queue: whatever dies, lags or races, each unit ends with one result, and the run with it."""

import asyncio
import importlib.util
import logging
import random
import sys
from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_api.deaths import Death, judge_deaths
from toolorch_api.keys import RESULTS_PREFIX, death_key, result_key
from toolorch_evaluator.blocks import GROUP, PARTS, Board, cut_blocks, share_units
from toolorch_evaluator.claims import LOOK_SECONDS
from toolorch_evaluator.leases import LEASE_SECONDS

_PATH = Path(__file__).parents[3] / "hack" / "simulation.py"
_SPEC = importlib.util.spec_from_file_location("simulation", _PATH)
simulation = importlib.util.module_from_spec(_SPEC)
sys.modules["simulation"] = simulation
_SPEC.loader.exec_module(simulation)

UNITS = 18


@pytest.fixture(autouse=True)
def quiet():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def make_fleet(seconds, shards=3, slots=2, speeds=None, create="atomic", latency=0.05, seed=1, estimates=None):
    manifest = simulation.build_manifest(estimates or seconds, len(seconds))
    taken = {manifest.unit(i): s for i, s in enumerate(seconds)}
    assigned = [list(range(len(seconds)))[s::shards] for s in range(shards)]
    bucket = simulation.Bucket(random.Random(seed), latency, create)
    return simulation.Fleet(bucket, manifest, taken, assigned, slots, speeds or [1.0] * shards)


async def run_all(fleet, stories=()):
    """Run every shard; a story is (shard, second, what, then after how many seconds a new pod comes, or None)."""

    async def run_shard(shard):
        pod = asyncio.create_task(fleet.start(shard))
        for serial, (_, second, what, comes) in enumerate(s for s in stories if s[0] == shard):
            await asyncio.wait([pod], timeout=second)
            if not pod.done() and what == "kill":
                fleet.kill(shard, pod)
            elif not pod.done():
                fleet.stops[shard].set()
            await asyncio.wait([pod])
            if comes is None:
                break
            await asyncio.sleep(comes)
            pod = asyncio.create_task(fleet.start(shard, f"pod-{shard}-{serial}"))
        await asyncio.gather(pod, return_exceptions=True)

    await asyncio.gather(*map(run_shard, range(len(fleet.assigned))))


def missing(fleet):
    units = map(fleet.manifest.unit, range(len(fleet.manifest.units)))
    return [i for i, unit in enumerate(units) if result_key(unit) not in fleet.bucket.objects]


STORY = st.tuples(
    st.integers(0, 2), st.floats(0, 400), st.sampled_from(["kill", "stop"]), st.none() | st.floats(1, 200)
)


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.lists(st.floats(0.5, 300), min_size=1, max_size=UNITS),
    stories=st.lists(STORY, max_size=4),
    create=st.sampled_from(["atomic", "racy", "ignored"]),
    latency=st.sampled_from([0.01, 0.3, 3.0]),
    seed=st.integers(0, 3),
)
def test_each_unit_ends_with_one_result_whatever_dies_and_however_storage_creates(
    seconds, stories, create, latency, seed
):
    fleet = make_fleet(seconds, min(3, len(seconds)), create=create, latency=latency, seed=seed)
    simulation.run_simulated(run_all(fleet, stories))
    while left := missing(fleet):
        fleet.attempt += 1
        assert fleet.attempt <= 2, "an attempt without deaths ends all that is left"
        fleet.assigned = [left[s::2] for s in range(min(2, len(left)))]
        simulation.run_simulated(run_all(fleet))
    results = [key for key in fleet.bucket.objects if key.startswith(RESULTS_PREFIX)]
    assert len(results) == len(set(results)) == len(seconds)
    assert create != "atomic" or fleet.bucket.rewritten == 0


@settings(max_examples=20, deadline=None)
@given(
    seconds=st.lists(st.floats(0.5, 300), min_size=6, max_size=UNITS),
    together=st.lists(st.sets(st.integers(0, 5), min_size=2), max_size=3),
    alone=st.lists(st.integers(0, 5), max_size=8),
    stories=st.lists(STORY, max_size=2),
)
def test_whatever_died_of_what_all_that_is_not_set_aside_ends_and_suspects_run_alone(seconds, together, alone, stories):
    fleet = make_fleet(seconds)
    deaths = [Death(spec_hash="h", attempt=1, what="pod", units=list(units)) for units in (*together, *zip(alone))]
    for number, death in enumerate(deaths):
        fleet.bucket.objects[death_key(1, str(number))] = (death.model_dump_json(by_alias=True).encode(), 0.0)
    simulation.run_simulated(run_all(fleet, stories))
    verdict = judge_deaths(deaths, "h", 3)
    if not stories:
        assert missing(fleet) == sorted(verdict.quarantined)
    assert not [i for i in verdict.quarantined if fleet.began[fleet.manifest.unit(i)]]
    assert not [beside for beside in fleet.beside if len(beside) > 1 and beside & verdict.suspects]


@settings(max_examples=15, deadline=None)
@given(seconds=st.lists(st.floats(0.5, 300), min_size=3, max_size=UNITS), seed=st.integers(0, 9))
def test_undisturbed_no_unit_is_begun_twice_and_each_is_counted_once(seconds, seed):
    fleet = make_fleet(seconds, seed=seed)
    simulation.run_simulated(run_all(fleet))
    assert set(fleet.began.values()) == {1}
    assert fleet.counted == len(seconds) == fleet.began.total()


def test_what_a_dead_shard_claimed_returns_when_its_lease_is_over():
    fleet = make_fleet([100.0] * 12, shards=3)
    simulation.run_simulated(run_all(fleet, [(0, 50.0, "kill", None)]))
    assert missing(fleet) == []
    assert fleet.began.total() == 14, "the two units that died with the pod ran again"
    assert fleet.ended_at < 400 + LEASE_SECONDS


def test_what_a_drained_shard_gives_back_is_taken_before_any_lease_is_over():
    fleet = make_fleet([40.0] * 6, shards=3, slots=1)
    simulation.run_simulated(run_all(fleet, [(0, 10.0, "stop", None)]))
    assert missing(fleet) == []
    assert fleet.ended_at < 120 + LOOK_SECONDS, "the others are free at 80 s; a lease would hold until 90 s"


def test_a_new_pod_of_a_shard_goes_on_with_what_the_old_one_had_claimed():
    fleet = make_fleet([30.0] * 8, shards=1, slots=2)
    simulation.run_simulated(run_all(fleet, [(0, 70.0, "kill", 5.0)]))
    assert missing(fleet) == []
    assert fleet.counted == 8, "four of them by the results that the old pod left"
    assert fleet.began.total() == 10


def test_units_that_a_pod_died_of_run_alone_and_the_shards_share_them():
    fleet = make_fleet([30.0] * 24, shards=3, slots=4)

    async def die_and_come_back():
        pods = [asyncio.create_task(fleet.start(shard)) for shard in range(3)]
        await asyncio.sleep(10)
        running = sorted(fleet.at[0])
        fleet.kill(0, pods[0])
        death = Death(spec_hash="h", attempt=1, what="pod", units=running)
        fleet.bucket.objects[death_key(1, "pod-0")] = (death.model_dump_json(by_alias=True).encode(), 10.0)
        await asyncio.sleep(10)
        await asyncio.gather(fleet.start(0, "pod-0-again"), *pods[1:])
        return running

    running = simulation.run_simulated(die_and_come_back())
    assert (missing(fleet), len(running)) == ([], 4)
    assert fleet.began.total() == 28
    assert fleet.ended_at < 130, "four one after another in one pod would end at 20 + 4 * 30, and its other units later"


def test_a_shard_at_a_tenth_of_the_speed_ends_its_own_block_and_no_more():
    fleet = make_fleet([10.0] * 60, shards=3, slots=2, speeds=[0.1, 1.0, 1.0])
    simulation.run_simulated(run_all(fleet))
    assert fleet.ended_at < 220, "alone, the slow one would take 1000 s for its third"


@pytest.mark.parametrize(
    ("before", "after", "earliest", "latest"),
    [
        pytest.param(1, 4, 45, 65, id="more"),
        pytest.param(4, 1, 85, 100, id="fewer"),
    ],
)
def test_how_many_units_run_at_once_changes_while_a_shard_runs(before, after, earliest, latest):
    fleet = make_fleet([10.0] * 12, shards=1, slots=before)

    async def change():
        await asyncio.sleep(15.0 if after > before else 5.0)
        fleet.slots = after

    async def both():
        await asyncio.gather(run_all(fleet), change())

    simulation.run_simulated(both())
    assert missing(fleet) == []
    assert earliest < fleet.ended_at < latest


def test_an_expectedly_long_unit_is_begun_before_shorter_ones_of_any_shard():
    seconds = [10.0] * 23 + [100.0]
    fleet = make_fleet(seconds, shards=3, slots=1)
    simulation.run_simulated(run_all(fleet))
    assert fleet.ended_at < 120


def test_all_shards_cut_the_same_blocks_and_these_hold_every_unit_once():
    assigned = [[0, 3, 6], [1, 4], [2, 5]]
    shares = [share_units(1, shard, assigned, [1, 9, 2, 8, 3, 7, 4]) for shard in range(4)]
    assert len({str(share.blocks) for share in shares}) == 1
    assert [i for block in shares[0].blocks for i in block] == [1, 3, 5, 6, 4, 2, 0]


def test_more_than_a_group_of_shards_are_dealt_out_to_several_queues():
    assigned = [[shard] for shard in range(GROUP + 2)]
    first, second = share_units(1, 0, assigned, []), share_units(1, 1, assigned, [])
    units = [{i for block in share.blocks for i in block} for share in (first, second)]
    assert (first.groups, len(units[0]), len(units[1])) == (2, 17, 17)
    assert not units[0] & units[1]


@pytest.mark.parametrize("sharers", [1, 8, 32])
def test_blocks_grow_with_the_shards_and_only_slowly_with_the_units(sharers):
    counts = [len(cut_blocks(range(n), [1.0] * n, sharers)) for n in (10_000, 100_000)]
    assert counts[0] <= sharers * PARTS * 9
    assert counts[1] - counts[0] <= sharers * PARTS * 3


def test_shards_that_begin_together_reach_for_different_blocks():
    assigned = [list(range(200))[s::8] for s in range(8)]
    chosen = [Board(share_units(1, s, assigned, [])).choose(8) for s in range(8)]
    assert all(chosen)
    assert len({block for blocks in chosen for block in blocks}) == sum(map(len, chosen))


def test_a_claim_that_nobody_can_read_holds_nothing():
    board = Board(share_units(1, 0, [[0, 1]], []))
    board.see(["claims/1/0/0.1.json", "claims/1/0/0.0.json", "claims/1/0/strange", "claims/1/0/left/pod.json"])
    assert (board.generations, board.unclaimed()) == ({0: 1}, [1])
    assert board.newest_key(0) == "claims/1/0/0.1.json"


def test_all_suspects_of_pods_that_died_together_end_in_the_same_attempt():
    """Most are left to whoever runs dry, and such a pod may have rested from looking for work by then."""
    fleet = make_fleet([2.0 + number % 5 for number in range(60)], shards=3, slots=4)

    async def story():
        pods = [asyncio.create_task(fleet.start(shard)) for shard in range(3)]
        await asyncio.wait(pods, timeout=9)
        for shard, pod in enumerate(pods):
            fleet.kill(shard, pod)
        await asyncio.wait(pods)
        running = [i for i in missing(fleet) if fleet.began[fleet.manifest.unit(i)]]
        assert len(running) == 12
        death = Death(spec_hash="h", attempt=1, what="pod", units=running)
        fleet.bucket.objects[death_key(1, "pods")] = (death.model_dump_json(by_alias=True).encode(), 0.0)
        await asyncio.gather(*(fleet.start(shard, f"pod-{shard}-again") for shard in range(3)))

    simulation.run_simulated(story())
    assert missing(fleet) == []
