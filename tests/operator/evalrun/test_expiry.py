"""Children of a finished run go when their time is over, and not before, nor without their evidence."""

from dataclasses import replace
from datetime import timedelta

import pytest

from toolorch_operator.evalrun.expiry import expire, find_expiry
from toolorch_operator.evalrun.observed import JobView, ObservedRun, PodView, StorageView
from toolorch_operator.plan import Plan, Ref

CHILDREN = ("smoke-a1", "smoke-plan", "smoke-report")


def ended(kit, **spec):
    world = kit.World(**spec)
    world.settle()
    return world


def test_children_stay_for_their_time_and_then_go_all_at_once(kit):
    world = ended(kit, ttlSecondsAfterFinished={"complete": 7200})
    due = world.status.completion_time + timedelta(hours=2)
    assert world.plan() == Plan(requeue_after=due - world.now)
    world.now = due
    kept = dict(world.storage)
    world.tick()
    world.reap()
    assert (world.jobs, world.config_maps) == ({}, {})
    world.tick()
    assert world.status.expired
    assert world.storage == kept


def test_the_look_that_decides_the_report_says_when_the_next_one_is_due(kit):
    world = kit.World(ttlSecondsAfterFinished={"complete": 7200})
    while world.condition("ReportReady") is None or world.condition("ReportReady").status != "True":
        now = world.now
        decided = world.tick()
        world.work()
    assert decided.requeue_after == world.status.completion_time + timedelta(hours=2) - now


OUTCOMES = {
    "a complete run goes by its own time": ({}, 7200),
    "a failed run stays longer, to be looked at": ({"budget": {"tokens": 4}}, 9000),
}


@pytest.mark.parametrize("name", OUTCOMES, ids=str)
def test_the_time_depends_on_the_outcome(kit, name):
    spec, seconds = OUTCOMES[name]
    world = ended(kit, ttlSecondsAfterFinished={"complete": 7200, "failed": 9000}, **spec)
    assert find_expiry(world.run) == world.status.completion_time + timedelta(seconds=seconds)


def test_a_run_that_is_not_finished_has_no_such_time(kit):
    assert find_expiry(kit.run()) is None


def test_a_run_that_failed_without_a_report_goes_by_the_time_of_its_end(kit):
    world = kit.World()
    world.tick()
    world.kill(code=42, message="no")
    world.tick()
    assert world.condition("Failed").reason == "PlanFailed"
    assert find_expiry(world.run) == world.status.completion_time + timedelta(days=7)


def test_at_once_means_once_the_report_is_decided(kit):
    world = kit.World(ttlSecondsAfterFinished={"complete": 0})
    world.tick()
    while "smoke-report" not in world.jobs:
        world.work()
        world.tick()
    assert world.condition("Complete").status == "True"
    for _ in range(3):
        world.tick()
    assert set(CHILDREN) <= set(world.jobs)
    world.work()
    world.tick()
    world.tick()
    assert (world.jobs, world.config_maps) == ({}, {})
    assert world.condition("ReportReady").status == "True"


def test_nothing_comes_back_and_nothing_is_written_any_more(kit):
    world = ended(kit, ttlSecondsAfterFinished={"complete": 0})
    world.settle()
    assert world.status.expired
    writes = world.writes
    for _ in range(3):
        world.now += timedelta(days=3)
        world.tick()
        world.reap()
    assert (world.jobs, world.config_maps, world.writes) == ({}, {}, writes)
    assert world.plan() == Plan()


def test_an_operator_that_dies_between_two_deletions_deletes_the_rest_later(kit):
    world = ended(kit, ttlSecondsAfterFinished={"complete": 7200})
    world.now += timedelta(hours=3)
    world.tick(crash_after=1)
    assert 0 < len(world.jobs) < len(CHILDREN)
    world.tick()
    world.tick()
    assert (world.jobs, world.config_maps, world.status.expired) == ({}, {}, True)


def test_a_resumed_run_makes_its_children_anew(kit):
    world = ended(kit, budget={"tokens": 4}, ttlSecondsAfterFinished={"failed": 0})
    world.settle()
    assert world.status.expired
    world.edit(budget={})
    world.tick()
    assert not world.status.expired
    while world.condition("Complete").status != "True":
        world.tick()
        world.work()
    assert "smoke-input" in world.config_maps
    assert len(world.executed) == len(set(world.executed)) == 10


def test_children_wait_for_their_evidence(kit):
    world = ended(kit, ttlSecondsAfterFinished={"complete": 0})
    pod = PodView(name="p0", job="smoke-a1", step="shard", attempt=1, phase="Failed", exit_code=1, index=0)
    job = JobView(name="smoke-a1", uid="u1", is_complete=True)
    observed = ObservedRun(jobs={"smoke-a1": job}, pods=(pod,), storage=StorageView(exits=frozenset()))
    run = world.run.model_copy(update={"status": world.status.model_copy(update={"expired": False})})
    assert expire(run, observed, world.now).delete == ()
    kept = replace(observed, storage=StorageView(exits=frozenset({"attempts/1/0/p0/exit.json"})))
    assert expire(run, kept, world.now).delete == (Ref("Job", "smoke-a1", "u1"),)
