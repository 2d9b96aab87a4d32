"""The REASON column: whatever holds a run up stands there, in words."""

import pytest


def begin(kit, attempt=1):
    world = kit.World()
    while world.status.attempt < attempt:
        world.tick()
        world.work()
    return world


def fail_pods(world, message):
    """Let all that runs die, and nothing begin anew."""
    world.control_jobs()
    for pod in list(world.pods.values()):
        if pod["status"]["phase"] == "Running":
            world._end(pod, 137, message, "OOMKilled")


def test_a_run_whose_pods_all_died_says_of_what(kit):
    world = begin(kit)
    fail_pods(world, "")
    world.tick()
    assert world.status.reason == "Running: attempt 1: 1 of 10 done, 0 running; 3 pods failed, last: OOMKilled"
    world.work()
    world.tick()
    assert world.status.reason == "Running"


def test_a_plan_whose_pod_died_says_of_what(kit):
    world = kit.World()
    world.tick()
    fail_pods(world, "Traceback\nImportError: no module")
    world.tick()
    assert world.status.reason == "Planning: units are being listed; 1 pod failed, last: ImportError: no module"


def test_pods_that_outlive_their_job_are_waited_for(kit):
    world = begin(kit)
    world.control_jobs()
    world.delete_job("smoke-a1")
    world.tick()
    assert world.status.reason == "Running: attempt 1: pods of its deleted Job are still ending"


@pytest.mark.parametrize("fails", [True, False])
def test_a_verdict_that_waits_for_the_report_says_what_holds_the_report_up(kit, fails):
    world = kit.World()
    for turn in range(60):
        world.tick()
        if "smoke-report" in world.jobs:
            break
        world.work(turn, progress=False)
    assert world.status.reason == "Reporting"
    world.control_jobs()
    if fails:
        fail_pods(world, "no space left on device")
    world.tick()
    held = "Reporting: the report is being written; 1 pod failed, last: no space left on device"
    assert world.status.reason == (held if fails else "Reporting")
