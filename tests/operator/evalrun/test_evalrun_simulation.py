"""Whatever happens to Jobs, pods, storage and the operator, a run ends, and no finished unit runs again."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

TROUBLE = st.one_of(
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("crash"), st.integers(0, 3)),
    st.tuples(st.just("work"), st.integers(0, 5)),
    st.tuples(st.just("work unseen"), st.integers(0, 5)),
    st.tuples(st.just("kill"), st.integers(0, 5)),
    st.tuples(st.just("delete job"), st.sampled_from(["plan", "a1", "a2", "report"])),
    st.tuples(st.just("reap"), st.none()),
    st.tuples(st.just("storage"), st.booleans()),
    st.tuples(st.just("lose status"), st.booleans()),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("pool"), st.booleans()),
    st.tuples(st.just("infra"), st.sets(st.integers(0, 9), max_size=3)),
    st.tuples(st.just("two operators"), st.none()),
    st.tuples(st.just("look around"), st.none()),
    st.tuples(st.just("tick stale"), st.none()),
    st.tuples(st.just("node gone"), st.integers(0, 5)),
)
HARDSHIP = st.one_of(
    st.tuples(st.sampled_from(["tick", "two operators", "look around", "tick stale", "reap"]), st.none()),
    st.tuples(st.just("crash"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["work", "work unseen", "node gone"]), st.integers(0, 5)),
    st.tuples(st.just("storage"), st.booleans()),
    st.tuples(st.just("suspend"), st.booleans()),
)
"""Trouble that leaves status and Jobs as they are: what units did to pods is then seen sooner or later."""
UNSEEN = [("tick", None), ("work", 0), ("tick", None), ("tick", None), *[("work", 0)] * 20]
"""Nobody sees the pods of the first attempt die: all that ran beside the deadly unit looks as deadly."""


def act(world, kit, what, how):
    if what == "tick":
        world.tick()
    elif what == "crash":
        world.tick(crash_after=how)
    elif what in ("work", "work unseen"):
        world.work(how, progress=what == "work")
    elif what == "kill":
        world.kill(how)
    elif what == "delete job":
        world.delete_job(f"smoke-{how}")
    elif what == "reap":
        world.reap()
    elif what == "lose status":
        world.raw.pop("status", None)
        world.attempts = []
        if how:
            world.jobs, world.pods = {}, {}
    elif what == "storage":
        world.down = how
    elif what == "suspend":
        world.raw["spec"]["suspend"] = how
    elif what == "pool":
        world.pools["user-sim"] = kit.pool("user-sim", ready=how)
    elif what == "infra":
        world.infra = how
    elif what == "two operators":
        world.tick_twice()
    elif what == "look around":
        world.around = world.look_around()
    elif what == "tick stale":
        world.tick_stale(getattr(world, "around", None))
    elif what == "node gone":
        world.lose_node(how)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(undisturbed=st.integers(0, 24), troubles=st.lists(TROUBLE, max_size=50))
def test_a_run_ends_whatever_happens_and_no_finished_unit_runs_again(kit, undisturbed, troubles):
    world = kit.World()
    for turn in range(undisturbed):
        world.tick()
        world.work(turn)
    for what, how in troubles:
        act(world, kit, what, how)
    world.down, world.infra, world.raw["spec"]["suspend"] = False, set(), False
    world.pools["user-sim"] = kit.pool("user-sim")
    world.settle()
    assert len(world.executed) == len(set(world.executed))
    assert world.attempts == sorted(world.attempts)
    if world.condition("Complete").status == "True":
        assert len(world.executed) == len(world.units)
        assert (world.status.done, world.status.score) == ("10/10", "0.500")
    else:
        assert world.condition("Failed").reason in ("CoverageBelowMinimum", "PlanFailed")
    world.jobs, world.pods, world.config_maps = {}, {}, {}
    assert world.rests()


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(poison=st.integers(0, 9), lanes=st.integers(1, 4), troubles=st.lists(HARDSHIP, max_size=40))
@example(poison=3, lanes=4, troubles=UNSEEN)
def test_a_unit_that_kills_its_pod_each_time_is_all_that_a_run_loses(kit, poison, lanes, troubles):
    world = kit.World()
    world.poison, world.lanes = {poison}, lanes
    for what, how in troubles:
        act(world, kit, what, how)
    world.down, world.raw["spec"]["suspend"] = False, False
    world.settle()
    deadly = world.run.spec.retry.quarantine_after
    units = [f"{variant}/{domain}/{task}/{trial}" for variant, domain, task, trial in world.units]
    assert sorted(unit.key for unit in world.executed) == sorted(unit for unit in units if unit != units[poison])
    assert (world.status.units.quarantined, world.status.quarantined) == (1, [units[poison]])
    assert world.condition("Failed").reason == "CoverageBelowMinimum"
    # Deaths enough to know, and at most as many again of pods that began before the last one was told.
    assert deadly <= len(world.keys("deaths/")) <= 2 * (deadly + 1)
    ended = [pod for pod in world.pods.values() if pod["status"]["phase"] == "Failed"]
    assert sum(key.endswith("/exit.json") for key in world.storage) == len(ended)
    assert world.rests()


@pytest.mark.parametrize("at_tick", range(2, 12, 3))
def test_an_outage_of_storage_fails_no_run_and_loses_nothing(kit, at_tick):
    world = kit.World()
    for turn in range(at_tick):
        world.tick()
        world.work(turn)
    world.down = True
    for turn in range(20):
        world.tick()
        world.kill(turn) if turn == 10 else world.work(turn)
        assert world.condition("Failed").status == "False"
        assert world.condition("ResultsComplete").status == "Unknown"
        assert world.status.reason == "StorageUnavailable: connection refused"
    world.down = False
    world.settle()
    assert world.condition("Complete").status == "True"
    assert len(world.executed) == len(set(world.executed)) == 10
    assert len([key for key in world.storage if key.endswith("/exit.json")]) <= 1


@pytest.mark.parametrize("crash_after", range(4))
@pytest.mark.parametrize("at_tick", range(8))
def test_an_operator_that_dies_between_two_writes_finds_its_way(kit, at_tick, crash_after):
    world = kit.World()
    for turn in range(at_tick):
        world.tick()
        world.work(turn)
    world.tick(crash_after=crash_after)
    world.settle()
    assert world.condition("Complete").status == "True"
    assert len(world.executed) == len(set(world.executed)) == 10
    assert world.assigned == [list(range(10))]


def test_an_operator_that_is_away_for_the_whole_run_completes_it_when_it_is_back(kit):
    world = kit.World()
    while world.status.attempt == 0:
        world.tick()
        world.work()
    for turn in range(40):
        world.work(turn)
    world.settle()
    assert world.condition("Complete").status == "True"
    assert world.assigned == [list(range(10))]


def test_a_run_whose_status_was_lost_starts_nothing_again(kit):
    world = kit.World()
    for turn in range(10):
        world.tick()
        world.work(turn)
    del world.raw["status"]
    world.settle()
    assert world.condition("Complete").status == "True"
    assert len(world.executed) == 10
    assert world.assigned == [list(range(10))]


def test_a_run_that_lost_status_and_jobs_goes_on_with_its_newest_attempt(kit):
    world = kit.World()
    world.infra = {2, 5, 7}
    while world.status.attempt < 2:
        world.tick()
        world.work()
    world.infra = set()
    world.work()
    del world.raw["status"]
    world.jobs, world.pods = {}, {}
    world.settle()
    assert world.status.attempt == 2
    assert world.condition("Complete").status == "True"
    assert world.assigned == [list(range(10)), [2, 5, 7]]
    assert len(world.executed) == 10


def test_at_every_moment_a_second_look_at_the_same_world_writes_nothing(kit):
    world = kit.World()
    for turn in range(40):
        for _ in range(3):
            world.tick()
        before = world.writes
        world.tick()
        assert world.writes == before
        world.work(turn)
    assert world.report_is_decided()
