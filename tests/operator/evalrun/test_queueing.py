"""Runs in a queue of Kueue, and Jobs whose pods the API server refuses: who starts them, and what the run says."""

import random
from datetime import timedelta

import pytest

from toolorch_operator.evalrun.objects import build_report_job
from toolorch_operator.evalrun.observed import parse_job, parse_refusal

QUEUE = {"kueue.x-k8s.io/queue-name": "team-a", "kueue.x-k8s.io/priority-class": "night"}
QUOTA = "exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5"


@pytest.fixture
def world(kit):
    world = kit.World()
    world.raw["metadata"]["labels"] = {**QUEUE, "cost-center": "7"}
    return world


def planned(world):
    """Take a queued world to where its first attempt waits."""
    world.tick()
    world.admit("smoke-plan")
    while "smoke-a1" not in world.jobs:
        world.work()
        world.tick()
    world.tick()
    return world


def is_suspended(world, job):
    return world.jobs[job]["spec"]["suspend"]


def test_every_job_takes_over_the_queue_and_waits_and_its_pods_do_not(world, kit):
    planned(world)
    report = build_report_job(world.run, kit.defaults, 1)
    for job in (world.jobs["smoke-plan"], world.jobs["smoke-a1"], report):
        labels = job["metadata"]["labels"]
        assert {key: labels[key] for key in QUEUE} == QUEUE
        assert "cost-center" not in labels
        assert not QUEUE.keys() & job["spec"]["template"]["metadata"]["labels"].keys()
    assert report["spec"]["suspend"] is True


def test_a_priority_without_a_queue_is_nothing_to_kueue(world, kit):
    del world.raw["metadata"]["labels"]["kueue.x-k8s.io/queue-name"]
    job = build_report_job(world.run, kit.defaults, 1)
    assert "suspend" not in job["spec"]
    assert not QUEUE.keys() & job["metadata"]["labels"].keys()


def test_a_run_says_which_queue_it_waits_in_already_while_it_plans(world):
    world.tick()
    world.tick()
    assert world.status.reason == "WaitingForQueue: Job smoke-plan waits for Kueue to admit it in queue team-a"
    assert is_suspended(world, "smoke-plan")


def test_only_kueue_starts_the_job_and_takes_it_back(world):
    planned(world)
    for admitted in (False, True, False, True):
        world.admit("smoke-a1", admitted)
        world.work()
        decided = world.tick()
        assert is_suspended(world, "smoke-a1") is not admitted
        assert [m for m in decided.apply if m["kind"] == "Job"] == []
        assert decided.delete == ()
        assert (world.condition("Progressing").reason == "WaitingForQueue") is not admitted
    for job in ("smoke-a1", "smoke-report"):
        while job not in world.jobs:
            world.tick()
            world.work()
        world.admit(job)
    world.settle()
    assert world.status.reason == "RunComplete"


def test_a_finished_run_says_that_its_report_waits_in_the_queue(world):
    planned(world)
    world.admit("smoke-a1")
    for turn in range(40):
        world.work(turn)
    for _ in range(4):
        world.tick()
    said = world.condition("ReportReady")
    assert (said.reason, said.message.endswith("in queue team-a")) == ("Reporting", True)


def test_the_time_in_a_queue_does_not_count_towards_the_deadline(world):
    planned(world)
    world.now += timedelta(days=3)
    world.tick()
    assert world.condition("Progressing").reason == "WaitingForQueue"
    world.admit("smoke-a1")
    world.work()
    world.tick()
    assert world.condition("Progressing").reason == "Running"
    world.now += timedelta(days=3)
    world.tick()
    assert world.condition("Progressing").reason == "DeadlineExceeded"
    assert "smoke-a1" not in world.jobs


def test_suspending_a_queued_run_gives_its_quota_back_and_resuming_queues_the_same_attempt_again(world):
    planned(world)
    world.admit("smoke-a1")
    world.work()
    done = len(world.executed)
    world.raw["spec"]["suspend"] = True
    world.tick()
    assert "smoke-a1" not in world.jobs
    world.reap()
    world.raw["spec"]["suspend"] = False
    for _ in range(3):
        world.tick()
    assert is_suspended(world, "smoke-a1")
    assert world.status.attempt == 1
    world.admit("smoke-a1")
    for turn in range(40):
        world.work(turn)
    assert (done, len(world.executed), len(set(world.executed))) == (1, 10, 10)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_kueue_and_the_user_do_a_queued_run_ends_and_no_finished_unit_runs_again(world, seed):
    chance = random.Random(seed)

    def look():
        decided = world.tick()
        assert [m for m in decided.apply if m["kind"] == "Job"] == [], "suspend is Kueue's"

    for _ in range(60):
        job = chance.choice(list(world.jobs) or [""])
        act = chance.choice(("look", "look", "work", "work", "kueue", "kueue", "suspend", "delete", "reap"))
        if act == "look":
            look()
        elif act == "work":
            world.work(chance.randrange(3))
        elif act == "kueue" and job:
            world.admit(job, chance.random() < 0.8)
        elif act == "suspend":
            world.raw["spec"]["suspend"] = chance.random() < 0.3
        elif act == "delete":
            world.delete_job(job)
        elif act == "reap":
            world.reap()
    world.raw["spec"]["suspend"] = False
    for turn in range(200):
        if world.report_is_decided():
            break
        for job in world.jobs:
            world.admit(job)
        look()
        world.reap()
        world.work(turn)
    assert (world.status.reason, world.report_is_decided()) == ("RunComplete", True)
    assert len(world.executed) == len(set(world.executed)) == 10


def lack_pods(world, job, **status):
    """Let the Job controller have looked, and made no more pods than `status` tells."""
    world.jobs[job]["status"] |= {"startTime": "2026-11-20T12:00:00Z", **status}


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        pytest.param(QUOTA, f"QuotaExceeded: Job smoke-plan gets no pod: {QUOTA}", id="by a quota"),
        pytest.param("no account x", "PodsRefused: Job smoke-plan gets no pod: no account x", id="by anything else"),
    ],
)
def test_a_job_whose_pods_are_all_refused_holds_the_run_up(kit, refusal, reason):
    world = kit.World()
    world.tick()
    lack_pods(world, "smoke-plan")
    world.refusals["smoke-plan"] = refusal
    world.tick()
    assert world.status.reason == reason
    assert [e.type for e in world.plan().events] == []
    world.refusals.clear()
    world.settle()
    assert world.status.reason == "RunComplete"
    assert reason.partition(":")[0] in world.events


def test_a_job_that_has_some_of_its_pods_goes_on_and_says_how_many_are_refused(kit):
    world = kit.World()
    while not world.status.attempt:
        world.tick()
        world.work()
    lack_pods(world, "smoke-a1", active=1)
    world.refusals["smoke-a1"] = QUOTA
    world.tick()
    said = world.condition("Progressing")
    assert (said.status, said.reason) == ("True", "Running")
    assert said.message.endswith(f"; 2 pods refused: {QUOTA}")


STARTED = {"startTime": "2026-11-20T12:00:00Z"}


@pytest.mark.parametrize(
    ("spec", "status", "missing"),
    [
        pytest.param({"parallelism": 3}, STARTED, 3, id="the controller has looked, and made none"),
        pytest.param({"parallelism": 3}, STARTED | {"active": 2, "failed": 1}, 0, id="a failed one waits its backoff"),
        pytest.param({"parallelism": 3}, STARTED | {"active": 1, "succeeded": 1}, 1, id="one was never made"),
        pytest.param({"parallelism": 3}, STARTED | {"active": 2, "terminating": 1}, 0, id="one is still going"),
        pytest.param({"parallelism": 3}, {}, 0, id="the controller has not looked yet"),
        pytest.param({"suspend": True}, STARTED, 0, id="a suspended Job wants none"),
        pytest.param(
            {}, STARTED | {"conditions": [{"type": "Suspended", "status": "False"}]}, 1, id="it was suspended before"
        ),
        pytest.param({}, STARTED | {"conditions": [{"type": "Complete", "status": "True"}]}, 0, id="it has ended"),
    ],
)
def test_pods_are_missing_when_the_job_controller_has_looked_and_made_fewer(spec, status, missing):
    assert parse_job({"metadata": {"name": "j"}, "spec": spec, "status": status}).missing_pods == missing


def test_the_newest_refusal_is_told_without_the_name_of_a_pod_that_never_was():
    events = [
        {"message": f'Error creating: pods "j-0-x" is forbidden: {QUOTA}', "lastTimestamp": "2026-11-20T12:00:02Z"},
        {"message": "Error creating: old", "lastTimestamp": "2026-11-20T12:00:01Z"},
    ]
    assert parse_refusal(events) == QUOTA
    assert parse_refusal(events[1:]) == "old"
    assert parse_refusal([]) == ""
