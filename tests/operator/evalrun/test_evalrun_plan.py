"""EvalRun's brain, world by world: what it says, what it writes, and when it looks again."""

from datetime import timedelta

import pytest

from toolorch_api.keys import SUMMARY_KEY


@pytest.fixture
def world(kit):
    return kit.World()


def begin(world):
    """Take a world to where its first attempt has pods."""
    while True:
        world.tick()
        if world.status.attempt:
            return world
        world.work()


def run_shards(world, progress=True):
    """Let all shards finish, the operator looking away."""
    for turn in range(40):
        world.work(turn, progress=progress)
    return world


def says(world, type_):
    found = world.condition(type_)
    return found.status, found.reason, found.message


# Gates: what holds a run up, in the REASON column.


GATES = {
    "a pool that does not exist is named": (
        lambda w, kit: w.pools.pop("user-sim"),
        "WaitingForPools: ModelPool user-sim does not exist",
    ),
    "a missing Secret is named": (
        lambda w, kit: setattr(w, "secret", False),
        "WaitingForSecret: Secret s3-keys does not exist",
    ),
    "storage that cannot be reached is waited for": (
        lambda w, kit: setattr(w, "down", True),
        "StorageUnavailable: connection refused",
    ),
    "a suspended run starts nothing": (
        lambda w, kit: w.raw["spec"].update(suspend=True),
        "Suspended: spec.suspend is true; results stay",
    ),
}


@pytest.mark.parametrize("name", GATES, ids=str)
def test_a_run_waits_and_says_what_for(world, kit, name):
    arrange, reason = GATES[name]
    arrange(world, kit)
    decided = world.tick()
    assert world.status.reason == reason
    assert [m["kind"] for m in decided.create if m["kind"] == "Job"] == []
    assert world.condition("Failed").status == "False"
    before = world.writes
    world.tick()
    assert world.writes == before


def test_without_any_output_the_run_says_what_to_set(kit):
    from toolorch_operator.defaults import Defaults
    from toolorch_operator.evalrun.observed import ObservedRun
    from toolorch_operator.evalrun.plan import plan

    decided = plan(kit.run(), ObservedRun(), kit.now, Defaults("v", "e"))
    assert decided.status["reason"].startswith("NoOutput: set spec.output.uri")
    assert not decided.create
    assert decided.requeue_after is None


def test_units_are_planned_while_pools_start_but_no_attempt_begins(world, kit):
    world.pools["user-sim"] = kit.pool("user-sim", ready=False)
    for _ in range(5):
        world.tick()
        world.work()
    assert world.status.reason == "WaitingForPools: user-sim 0/1 ready, WaitingForGPU"
    assert says(world, "Planned") == ("True", "Planned", "10 units")
    assert sorted(world.jobs) == ["smoke-plan"]
    assert world.events == ["Planned", "WaitingForPools"]


def test_an_external_pool_brings_its_key_into_the_pods(kit):
    world = kit.World()
    key = {"baseURL": "https://api/v1", "apiKeySecretRef": {"name": "openai", "key": "apiKey"}}
    world.pools["user-sim"] = kit.pool("user-sim", external=key)
    begin(world)
    pod = world.jobs["smoke-a1"]["spec"]["template"]["spec"]
    secrets = [s["secret"] for s in pod["volumes"][0]["projected"]["sources"] if "secret" in s]
    assert secrets == [{"name": "openai", "items": [{"key": "apiKey", "path": "keys/user-sim"}]}]
    assert "https" not in str(pod)


# Planning.


def test_the_input_stands_before_the_job_that_mounts_it(world):
    decided = world.tick()
    assert [m["metadata"]["name"] for m in decided.create] == ["smoke-input", "smoke-plan"]


def test_a_plan_that_refuses_the_spec_fails_the_run_with_its_own_sentence(world):
    world.tick()
    world.kill(code=42, message='{"reason": "NoTasks", "message": "no task is left by domains"}')
    world.tick()
    assert says(world, "Failed") == ("True", "PlanFailed", "no task is left by domains")
    assert world.status.reason == "PlanFailed: no task is left by domains"
    assert world.rests()


def test_a_plan_that_keeps_dying_fails_the_run_with_the_last_line_of_its_output(world):
    world.tick()
    for _ in range(4):
        world.kill(code=1, message="Traceback\nOSError: disk full")
    world.tick()
    assert says(world, "Failed") == ("True", "PlanFailed", "OSError: disk full")


def test_a_plan_whose_pod_cannot_start_says_so_in_the_reason(world):
    world.tick()
    world.control_jobs()
    pod = next(iter(world.pods.values()))
    pod["status"] = {
        "phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff"}}}],
    }  # fmt: skip
    world.tick()
    assert world.status.reason == "Planning: units are being listed; 1 pod waits: ImagePullBackOff"


def test_a_plan_that_left_nothing_in_storage_fails_the_run(world):
    world.tick()
    world.work()
    world.storage.clear()
    world.tick()
    why = "Job smoke-plan is complete, but manifest.json is not in storage"
    assert says(world, "Failed") == ("True", "PlanFailed", why)


def test_a_plan_job_deleted_by_hand_comes_back_once_its_pod_is_gone(world):
    world.tick()
    world.control_jobs()
    world.delete_job("smoke-plan")
    world.tick()
    assert "smoke-plan" not in world.jobs
    world.reap()
    world.tick()
    assert "smoke-plan" in world.jobs


# Attempts.


def test_an_attempt_is_written_down_before_it_is_made(world):
    world.tick()
    world.work()
    for _ in range(3):
        decided = world.tick()
        if decided.blobs:
            break
    assert decided.status_first
    assert decided.status["attempt"] == 1
    assert [b.key for b in decided.blobs] == ["attempts/1/assignment.json", "attempts/1/provenance.json"]
    assert [m["metadata"]["name"] for m in decided.create] == ["smoke-a1"]


def test_each_shard_gets_its_part_of_every_domain(world):
    begin(world)
    assert world.storage["attempts/1/assignment.json"].endswith(b'"shards":[[0,3,6,9],[1,4,7],[2,5,8]]}')


def test_the_second_attempt_takes_exactly_the_missing_units(world):
    world.infra = {2, 7}
    run_shards(begin(world))
    world.tick()
    world.infra = set()
    assert world.assigned == [list(range(10)), [2, 7]]
    assert world.status.attempt == 2
    assert world.status.reason == "Running"
    world.settle()
    assert world.status.done == "10/10"
    assert len(world.executed) == 10


def test_a_new_attempt_waits_for_pools_that_were_lost(world, kit):
    world.infra = {2}
    run_shards(begin(world))
    world.pools["user-sim"] = kit.pool("user-sim", ready=False)
    world.tick()
    assert world.status.reason == "WaitingForPools: user-sim 0/1 ready, WaitingForGPU"
    assert "smoke-a2" not in world.jobs


def test_a_running_attempt_goes_on_when_a_pool_is_lost(world, kit):
    begin(world)
    world.pools["user-sim"] = kit.pool("user-sim", ready=False)
    world.tick()
    assert says(world, "PoolsReady")[0] == "False"
    assert world.status.reason == "Running"


def test_a_job_deleted_by_hand_comes_back_with_its_assignment_once_its_pods_are_gone(world):
    begin(world)
    world.work()
    world.delete_job("smoke-a1")
    world.tick()
    assert "smoke-a1" not in world.jobs
    world.reap()
    world.tick()
    assert world.jobs["smoke-a1"]["spec"]["completions"] == 3
    assert world.status.attempt == 1
    world.settle()
    assert len(world.executed) == 10


def test_progress_is_counted_without_listing_results(world):
    begin(world)
    for turn in range(4):
        world.work(turn)
    world.tick()
    assert world.status.units.done == 4
    assert world.status.done == "4/10"
    assert world.observe().storage.results is None
    assert world.status.eta == "1m"


def test_a_shard_that_refuses_its_input_ends_the_run_without_another_attempt(world):
    begin(world)
    world.work()
    world.kill(code=42, message='{"message": "manifest.json has another spec hash"}')
    world.tick()
    assert says(world, "Failed")[:2] == ("True", "BadInput")
    assert says(world, "Failed")[2] == "1 of 10 scored; manifest.json has another spec hash"
    assert world.status.attempt == 1


def test_pods_that_cannot_start_are_spoken_of(world):
    begin(world)
    world.work()
    pod = next(p for p in world.pods.values() if p["metadata"]["labels"]["toolorch.dev/step"] == "shard")
    pod["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
    }
    world.tick()
    assert says(world, "Progressing")[2] == "attempt 1: 1 of 10 done, 0 running; 1 pod waits: Unschedulable"


# Ending.


def test_complete_does_not_wait_for_the_report(world):
    run_shards(begin(world))
    world.tick()
    assert says(world, "Complete") == ("True", "RunComplete", "10 of 10 scored, score 0.500 (0.24–0.76)")
    assert (world.status.score, world.status.interval, world.status.pass_hat_k) == (
        "0.500",
        "0.24–0.76",
        {"1": "0.500"},
    )
    assert says(world, "ReportReady")[:2] == ("Unknown", "Reporting")
    assert world.status.report == ""
    world.settle()
    assert says(world, "ReportReady")[:2] == ("True", "ReportWritten")
    assert world.status.report == "s3://runs/all/smoke-01234567/report/report.html"
    assert says(world, "ResultsSuspect")[0] == "False"
    assert world.events[-2:] == ["RunComplete", "ReportWritten"]


def test_the_last_result_completes_the_run_before_its_job_has_ended(world):
    begin(world)
    for turn in range(40):
        world.work(turn)
    for job in world.jobs.values():
        if job["metadata"]["name"] == "smoke-a1":
            job["status"] = {"active": 1}
    world.tick()
    assert world.tick().requeue_after is not None
    assert says(world, "Complete")[0] == "True"


def test_counts_that_do_not_add_up_leave_the_score_to_the_report(world):
    begin(world)
    run_shards(world, progress=False)
    world.tick()
    assert says(world, "Complete")[0] == "False"
    assert world.status.reason == "Reporting"
    assert world.status.score == ""
    world.settle()
    assert says(world, "Complete") == ("True", "RunComplete", "10 of 10 scored, score 0.500 (i)")
    assert world.status.score == "0.500"


def test_a_report_that_fails_takes_nothing_back(world):
    run_shards(begin(world))
    world.tick()
    for _ in range(4):
        world.kill(code=1, message="OSError: no font")
    world.tick()
    assert says(world, "Complete")[0] == "True"
    assert says(world, "ReportReady") == (
        "False",
        "ReportFailed",
        "Job smoke-report: OSError: no font; results and verdict stand",
    )
    assert world.events[-1] == "ReportFailed"
    assert world.rests()


def test_a_failed_report_whose_counts_were_needed_leaves_a_verdict_without_a_score(world):
    run_shards(begin(world), progress=False)
    world.tick()
    for _ in range(4):
        world.kill(code=1)
    world.tick()
    assert says(world, "Complete")[::2] == ("True", "10 of 10 scored")
    assert world.status.score == ""
    assert says(world, "ReportReady")[1] == "ReportFailed"


def test_a_report_is_not_called_failed_while_storage_is_away(world):
    run_shards(begin(world))
    world.tick()
    for _ in range(4):
        world.kill(code=1)
    world.down = True
    world.tick()
    assert says(world, "ReportReady")[1] == "Reporting"


def test_a_summary_that_counts_otherwise_makes_results_suspect_and_wins(world):
    run_shards(begin(world))
    world.tick()
    key = next(k for k in world.storage if k.startswith("results/") and world.storage[k] == b"failed")
    world.storage[key] = b"passed"
    world.settle()
    assert world.status.score == "0.600"
    assert says(world, "ResultsSuspect")[2] == "shards counted 5 passed units, the results hold 6"


ENDINGS = {
    "a missing unit fails a run that needs them all": (
        {}, {3}, "Failed", "CoverageBelowMinimum", "9 of 10 scored, 100 % are needed",
    ),
    "enough coverage but too many infra errors fails": (
        {"minCoverage": 80}, {3}, "Failed", "InfraErrorsAboveMaximum",
        "1 of 10 units ended with an infra error, 0 % are allowed",
    ),
    "what acceptance allows is complete": (
        {"minCoverage": 80, "maxInfraErrors": 20}, {3}, "Complete", "RunComplete",
        "9 of 10 scored, score 0.556 (0.27–0.81)",
    ),
    "nothing scored is no score": (
        {"minCoverage": 0, "maxInfraErrors": 100}, set(range(10)), "Complete", "RunComplete", "0 of 10 scored",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS, ids=str)
def test_a_run_ends_by_its_acceptance(kit, name):
    acceptance, infra, type_, reason, message = ENDINGS[name]
    world = kit.World(acceptance=acceptance, retry={"infra": 1})
    world.infra = infra
    world.settle()
    assert says(world, type_) == ("True", reason, message)
    assert world.status.attempt == 2
    assert world.status.units.infra_errors == len(infra)
    assert says(world, "ResultsComplete")[0] == "False"


def test_a_finished_run_stays_finished_when_everything_around_it_vanishes(world):
    world.settle()
    world.jobs, world.pods, world.config_maps, world.storage, world.pools = {}, {}, {}, {}, {}
    world.raw["spec"]["shards"] = 7
    assert world.rests()


def test_a_report_job_deleted_by_hand_is_made_again(world):
    run_shards(begin(world))
    world.tick()
    world.delete_job("smoke-report")
    world.reap()
    world.settle()
    assert SUMMARY_KEY in world.storage
    assert says(world, "ReportReady")[0] == "True"


# Stopping.


def test_suspend_stops_pods_and_resume_goes_on_where_they_stopped(world):
    begin(world)
    for turn in range(4):
        world.work(turn)
    world.raw["spec"]["suspend"] = True
    world.tick()
    world.work()
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is True
    assert [p for p in world.pods.values() if p["status"]["phase"] == "Running"] == []
    assert says(world, "Suspended")[:2] == ("True", "Suspended")
    assert world.status.done == "4/10"
    world.raw["spec"]["suspend"] = False
    world.tick()
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is False
    world.settle()
    assert says(world, "Complete")[0] == "True"
    assert len(world.executed) == 10


def test_a_deadline_stops_the_pods_and_counts_what_is_there(kit):
    world = begin(kit.World(deadlines={"callSeconds": 10, "unitSeconds": 20, "runSeconds": 60}))
    for turn in range(4):
        world.work(turn)
    world.now += timedelta(seconds=61)
    world.tick()
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is True
    world.work()
    world.settle()
    assert says(world, "Failed") == (
        "True",
        "DeadlineExceeded",
        "4 of 10 scored; deadlines.runSeconds of 60 s has passed",
    )
    assert world.status.score == "0.500"
    assert len(world.executed) == 4


def test_the_deadline_counts_from_the_last_resumption(kit):
    world = begin(kit.World(deadlines={"callSeconds": 10, "unitSeconds": 20, "runSeconds": 60}))
    world.raw["spec"]["suspend"] = True
    world.tick()
    world.now += timedelta(days=1)
    world.raw["spec"]["suspend"] = False
    world.tick()
    world.tick()
    assert world.status.reason == "Running"
    world.settle()
    assert says(world, "Complete")[0] == "True"


def test_a_spec_whose_hash_moved_ends_the_run(world):
    begin(world)
    world.raw["spec"]["userVariants"] = ["anger"]
    world.tick()
    assert says(world, "Failed")[:2] == ("True", "SpecChanged")
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is True
    assert "anger" not in str(world.config_maps)
    assert world.rests()


def test_an_outage_of_storage_in_mid_run_is_unknown_and_passes(world):
    begin(world)
    world.down = True
    world.tick()
    assert says(world, "ResultsComplete")[:2] == ("Unknown", "StorageUnavailable")
    assert says(world, "Failed")[0] == "False"
    world.down = False
    world.settle()
    assert says(world, "Complete")[0] == "True"


def test_a_condition_of_a_newer_version_is_carried_along(world):
    begin(world)
    strange = {
        "type": "Progressing", "status": "True", "reason": "FromTheFuture", "lastTransitionTime": "2026-01-01T00:00:00Z"
    }  # fmt: skip
    world.raw["status"]["conditions"] = [strange]
    world.settle()
    assert says(world, "Complete")[0] == "True"
