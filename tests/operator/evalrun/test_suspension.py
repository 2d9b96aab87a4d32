"""Suspending and resuming at awkward moments: nothing is lost, nothing runs twice, nothing comes back by itself."""

import pytest


def begin(world):
    """Take a world to the look that begins its first attempt."""
    world.tick()
    world.work()
    while not world.plan().blobs:
        world.tick()
    return world


def end(world):
    world.raw["spec"]["suspend"] = False
    world.settle()
    assert world.condition("Complete").status == "True"
    assert len(world.executed) == len(set(world.executed)) == 10
    assert world.assigned == [list(range(10))]


@pytest.mark.parametrize("written", range(4))
def test_suspended_in_the_middle_of_a_beginning_that_the_operator_did_not_survive(kit, written):
    world = begin(kit.World())
    world.tick(crash_after=written)
    world.raw["spec"]["suspend"] = True
    for _ in range(3):
        world.tick()
        world.work()
    assert world.status.reason.startswith("Suspended")
    assert [p for p in world.pods.values() if p["status"]["phase"] == "Running"] == []
    end(world)


def test_resumed_while_the_old_pods_still_drain(kit):
    world = begin(kit.World())
    for turn in range(3):
        world.tick()
        world.work(turn)
    world.raw["spec"]["suspend"] = True
    world.tick()
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is True
    assert [p for p in world.pods.values() if p["status"]["phase"] == "Running"]
    end(world)


def test_suspended_and_resumed_by_two_operators_at_once(kit):
    world = begin(kit.World())
    for suspend in (True, False, True, False):
        world.raw["spec"]["suspend"] = suspend
        world.tick_twice()
        world.work()
    end(world)


def test_a_run_that_is_suspended_before_anything_else_makes_nothing(kit):
    world = kit.World(suspend=True)
    for _ in range(3):
        world.tick()
        world.work()
    assert world.jobs == {}
    end(world)


@pytest.mark.parametrize("ticks", [0, 1, 2, 4, 6, 8, 12], ids=lambda n: f"after {n} looks")
def test_a_run_that_is_deleted_gets_nothing_more_its_children_go_with_it(kit, ticks):
    world = kit.World(ttlSecondsAfterFinished={"complete": 0, "failed": 0})
    for turn in range(ticks):
        world.tick()
        world.work(turn)
    world.raw["metadata"]["deletionTimestamp"] = world.now.isoformat()
    assert world.rests()
    assert all(job["metadata"]["ownerReferences"][0]["uid"] == "0123456789abcdef" for job in world.jobs.values())
    assert all("finalizers" not in job["metadata"] for job in world.jobs.values())
