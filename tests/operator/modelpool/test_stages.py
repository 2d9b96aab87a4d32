"""A replica's way to serving, told as stories: what each stage waits for, says, and never does too early."""

from dataclasses import replace

import pytest

from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import ClusterView, Probe, RunUse, ServedModel, StartView, Verdict
from toolorch_operator.modelpool.plan import plan
from toolorch_operator.placement.views import Placement, Rejection

LACK = Rejection(PoolReason.INSUFFICIENT_GPU, "needs 2 GPUs on one node; free: node-a 1 of 8", (("node-a", "1 of 8"),))


def replicas_of(result):
    return {m["metadata"]["name"]: m["spec"]["replicas"] for m in result.apply if m["kind"] == "Deployment"}


def states(status):
    return {i["name"]: i["state"] for i in status["instances"]}


def look(w, defaults, **more):
    return plan(w.pool, replace(w.observe(), **more), w.now, defaults)


def test_a_replica_that_fits_nowhere_is_not_created_and_says_what_it_lacks(world, defaults):
    w = world(replicas=2)
    seats = Placement(assigned={"evals/orchestrator-0": "node-a"}, rejected={"evals/orchestrator-1": LACK})
    result = look(w, defaults, cluster=ClusterView(seats))
    assert replicas_of(result) == {"orchestrator-0": 1}
    assert result.status["reason"] == "InsufficientGPU"
    placed = next(c for c in result.status["conditions"] if c["type"] == "Placed")
    assert placed["message"] == "orchestrator-1 needs 2 GPUs on one node; free: node-a 1 of 8"
    assert [e.reason for e in result.events] == ["InsufficientGPU"]
    assert result.requeue_after is not None, "nobody tells that a node came back"


def test_a_replica_that_loses_its_node_gives_up_its_deployments_pod(world, defaults):
    w = world()
    w.settle()
    w.pods = {}
    nowhere = ClusterView(Placement(rejected={"evals/orchestrator-0": LACK}))
    assert replicas_of(look(w, defaults, cluster=nowhere)) == {"orchestrator-0": 0}


def test_of_two_replicas_on_one_node_the_second_waits_until_the_first_serves(world, defaults):
    w = world(replicas=2)
    together = ClusterView(Placement(assigned={f"evals/orchestrator-{i}": "node-a" for i in range(2)}))
    first = look(w, defaults, cluster=together)
    assert replicas_of(first) == {"orchestrator-0": 1, "orchestrator-1": 0}
    assert states(first.status) == {"orchestrator-0": "Starting", "orchestrator-1": "WaitingForSlot"}
    assert "orchestrator-1 waits for a start slot on node-a" in first.status["conditions"][0]["message"]


def test_another_pools_start_on_the_node_is_waited_for_by_name(world, defaults):
    w = world()
    busy = StartView("other/qwen-0", "node-0", InstanceState.STARTING, w.now)
    seats = Placement(assigned={"evals/orchestrator-0": "node-0"})
    result = look(w, defaults, cluster=ClusterView(seats, [busy]))
    assert (result.status["reason"], replicas_of(result)) == ("WaitingForSlot", {"orchestrator-0": 0})
    assert "other/qwen-0 is starting" in result.status["conditions"][0]["message"]


def test_a_slot_is_written_down_before_it_is_used(world):
    w = world()
    assert w.reconcile().status_first
    assert not w.reconcile().status_first


def test_where_the_scheduler_places_the_whole_cluster_is_one_place(world, defaults):
    w = world(replicas=2, places=False)
    first = w.reconcile()
    assert replicas_of(first) == {"orchestrator-0": 1, "orchestrator-1": 0}
    assert "affinity" not in first.apply[-1]["spec"]["template"]["spec"]
    w.settle()
    assert w.pool.status.ready == "2/2"
    assert w.condition("Placed").reason == "PlacedByScheduler"


@pytest.mark.parametrize(
    "reason",
    [
        PoolReason.TOOL_CALLS_NOT_PARSED,
        PoolReason.MODEL_DOES_NOT_CALL_TOOLS,
        PoolReason.REASONING_LEAKS_INTO_CONTENT,
        PoolReason.PREFLIGHT_TIMED_OUT,
    ],
)
def test_a_server_that_fails_its_preflight_is_up_but_not_ready_and_holds_no_slot(world, reason):
    w = world(replicas=2)
    w.verdict = Verdict(False, reason, "the text of a tool call arrives as content")
    w.settle()
    assert {i.state for i in w.pool.status.instances} == {InstanceState.NOT_USEFUL}
    assert (w.pool.status.reason, w.condition("PreflightPassed").status) == (reason, "False")
    assert w.reasons() == [reason]
    assert w.starts == 2, "neither was restarted for it"


def test_a_server_that_passes_after_all_is_ready(world):
    w = world()
    w.verdict = Verdict(False, PoolReason.PREFLIGHT_TIMED_OUT, "no answer within 120 s")
    w.settle()
    w.verdict = Verdict(True, PoolReason.CALLS_TOOLS, "tool calls arrive parsed")
    w.settle()
    assert w.condition("PreflightPassed").reason == "CallsTools"
    assert w.pool.status.ready == "1/1"


def test_a_new_operator_takes_what_passed_before_at_its_word_and_keeps_the_pool_ready(world, defaults):
    w = world()
    w.settle()
    result = plan(w.pool, w.observe(probe=False), w.now, defaults)
    assert (result.status["ready"], result.events) == ("1/1", ())
    assert result.status["conditions"] == w.pool.model_dump(mode="json", by_alias=True)["status"]["conditions"]


def test_an_engine_that_hangs_is_told_once_taken_down_and_started_anew(world, defaults):
    w = world()
    w.settle()
    hung = Probe(True, (ServedModel("orchestrator"),), "1", preflight=w.verdict, stalled_seconds=181.0)
    first = look(w, defaults, probes={"orchestrator-0": hung})
    assert [e.reason for e in first.events] == ["EngineStalled"]
    assert replicas_of(first) == {"orchestrator-0": 0}
    assert states(first.status) == {"orchestrator-0": "Crashed"}
    w.pool = w.pool.model_copy(update={"status": type(w.pool.status).model_validate(first.status)})
    assert look(w, defaults, probes={"orchestrator-0": hung}).events == ()
    w.pods = {}
    w.settle()
    assert (w.pool.status.ready, w.starts) == ("1/1", 2)


def test_a_crashed_replica_starts_anew_only_after_the_pause(world, oom_above):
    w = world(dies=oom_above(88), gpuMemoryUtilization=90, startup={"settleSeconds": 12})
    while not w.events:
        w.reconcile()
        w.roll()
    crashed_at = w.now
    w.settle()
    starting = [p.status["instances"][0] for p in w.plans if p.status["instances"][0]["state"] == "Starting"]
    assert (w.now - crashed_at).total_seconds() >= 12
    assert starting[-1]["since"] != starting[0]["since"]


def test_a_pool_that_no_run_uses_sleeps_and_wakes_with_the_next_run(world, defaults):
    w = world(idleAfterSeconds=600)
    w.settle()
    w.now = w.now.replace(hour=23)
    w.reconcile()
    w.roll()
    w.settle()
    assert (w.pool.status.reason, w.pods, w.pool.status.ready) == ("Idle", {}, "0/0")
    assert w.reasons()[-1] == "Idle"
    woken = look(w, defaults, runs=(RunUse("tau2", w.now),))
    assert replicas_of(woken) == {"orchestrator-0": 1}
    assert woken.status["leases"][0]["run"] == "tau2"


def test_files_come_before_servers(world, defaults):
    w = world(model="Qwen/Qwen3-8B", cache={"persistentVolumeClaim": "models"})
    result = look(w, defaults)
    assert (replicas_of(result), result.status["reason"]) == ({}, "FetchingModel")
    assert [m["kind"] for m in result.create] == ["Job"]
    assert result.status["fetch"]["state"] == "Waiting"


def test_a_replica_that_may_have_no_pod_goes_on_trying_and_holds_up_nobody(world, defaults):
    w = world(replicas=2)
    together = ClusterView(Placement(assigned={f"evals/orchestrator-{i}": "node-a" for i in range(2)}))
    begun = look(w, defaults, cluster=together)
    w.pool = w.pool.model_copy(update={"status": type(w.pool.status).model_validate(begun.status)})
    refused = {"type": "ReplicaFailure", "status": "True", "message": "denied by the admission webhook"}
    seen = {"orchestrator-0": {"spec": {"replicas": 1}, "status": {"conditions": [refused]}}}
    result = look(w, defaults, cluster=together, deployments=seen)
    assert replicas_of(result) == {"orchestrator-0": 1, "orchestrator-1": 1}
    assert states(result.status) == {"orchestrator-0": "Pending", "orchestrator-1": "Starting"}
    assert result.status["reason"] == "Unschedulable"
    rejected = {"evals/orchestrator-0": Rejection(PoolReason.QUOTA_EXCEEDED, "needs 1 GPU; ResourceQuota q has none")}
    result = look(w, defaults, cluster=ClusterView(Placement(rejected=rejected)), deployments=seen)
    assert result.status["reason"] == "QuotaExceeded"
    assert replicas_of(result)["orchestrator-0"] == 0, "a Deployment that waits for its quota would try ever less often"


def test_an_old_crash_of_a_server_that_is_up_is_no_stall(world, oom_above):
    w = world(dies=oom_above(0, "NONE"))
    w.settle()
    w.verdict = Verdict(False, PoolReason.TOOL_CALLS_NOT_PARSED, "the text of a tool call arrives as content")
    [live] = w.pods["orchestrator-0"]["status"]["containerStatuses"]
    live |= {"state": {"running": {}}, "ready": True, "restartCount": 1}
    w.settle()
    assert w.condition("Stalled").status == "False"
    assert w.pool.status.reason == "ToolCallsNotParsed"
