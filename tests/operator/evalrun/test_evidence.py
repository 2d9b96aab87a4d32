"""Evidence of failed pods: what is kept, in which order, how much in one look, and what waits for it."""

import json
from dataclasses import replace

import pytest

from toolorch_api.evalrun import spec_hash
from toolorch_operator.evalrun.evidence import (
    LOGS_PER_LOOK,
    NEXT_LOGS,
    STORAGE_LOOK,
    evidence_is_kept,
    keep_evidence,
    wanted_exits,
    wanted_logs,
)
from toolorch_operator.evalrun.observed import ObservedRun, PodLog, PodView, StorageView, parse_pod
from toolorch_operator.plan import Plan, Ref

EXIT = "attempts/1/0/p0/exit.json"


def failed(name="p0", index=0, step="shard", attempt=1, **more):
    return PodView(name, "smoke-a1", step, attempt, "Failed", exit_code=more.pop("exit_code", 137), index=index, **more)


def seen(*pods, exits=frozenset(), logs=None, **more):
    return ObservedRun(pods=pods, storage=StorageView(exits=exits), logs=logs or {}, **more)


def test_log_and_exit_are_kept_beside_each_other_and_the_exit_comes_last(kit):
    pod = failed(reason="OOMKilled", message="OOMKilled while unit 3 ran", running=(3,), node="node-a", image_id="e@1")
    plan = keep_evidence(kit.run(), seen(pod, logs={"p0": PodLog("the end\n")}), Plan())
    assert [b.key for b in plan.blobs] == ["deaths/1/p0.json", "attempts/1/0/p0/pod.log", EXIT]
    assert plan.blobs[1].body == b"the end\n"
    assert json.loads(plan.blobs[2].body) == {
        "v": 1, "specHash": spec_hash(kit.run().spec), "attempt": 1, "step": "shard", "shard": 0, "pod": "p0",
        "exitCode": 137, "reason": "OOMKilled", "message": "OOMKilled while unit 3 ran", "running": [3],
        "disrupted": False, "node": "node-a", "imageId": "e@1", "log": "",
    }  # fmt: skip
    assert plan.requeue_after == NEXT_LOGS


def test_a_pod_without_a_log_leaves_how_it_ended_and_why_there_is_no_log(kit):
    plan = keep_evidence(kit.run(), seen(failed(), logs={"p0": PodLog(problem="the pod was gone")}), Plan())
    assert [b.key for b in plan.blobs] == [EXIT]
    assert json.loads(plan.blobs[0].body)["log"] == "the pod was gone"


@pytest.mark.parametrize(
    ("pod", "key"),
    [
        pytest.param(failed(index=None, step="plan", attempt=0), "attempts/0/plan/p0/exit.json", id="planning"),
        pytest.param(failed(index=None, step="report", attempt=2), "attempts/2/report/p0/exit.json", id="reporting"),
        pytest.param(failed(exit_code=42), EXIT, id="a shard that refused its input"),
        pytest.param(failed(exit_code=None, is_disrupted=True), EXIT, id="a shard that never began"),
    ],
)
def test_each_step_that_fails_leaves_evidence(pod, key):
    assert wanted_exits(seen(pod)) == {key}
    assert not evidence_is_kept(seen(pod))
    assert evidence_is_kept(seen(pod, exits=frozenset({key})))


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(failed(exit_code=44), id="gave its units back"),
        pytest.param(replace(failed(), phase="Running", exit_code=None), id="still runs"),
        pytest.param(replace(failed(), phase="Succeeded", exit_code=0), id="has done its work"),
    ],
)
def test_nothing_is_kept_of_a_pod_that(kit, pod):
    assert evidence_is_kept(seen(pod))
    assert keep_evidence(kit.run(), seen(pod), Plan()) == Plan()


def test_one_look_reads_so_many_logs_and_the_next_ones_the_rest(kit):
    pods = [failed(f"p{i}", i) for i in range(LOGS_PER_LOOK + 3)]
    wanted = wanted_logs(seen(*pods))
    assert len(wanted) == LOGS_PER_LOOK
    kept = frozenset(f"attempts/1/{pod.index}/{pod.name}/exit.json" for pod in wanted)
    assert [pod.name for pod in wanted_logs(seen(*pods, exits=kept))] == ["p16", "p17", "p18"]
    plan = keep_evidence(kit.run(), seen(*pods, exits=kept), Plan())
    assert plan.requeue_after == NEXT_LOGS


def test_no_log_is_read_while_storage_cannot_tell_what_it_has(kit):
    away = replace(seen(failed()), storage=StorageView(reachable=False))
    assert wanted_logs(away) == []
    assert not evidence_is_kept(away)
    assert keep_evidence(kit.run(), away, Plan()) == Plan(requeue_after=STORAGE_LOOK)


@pytest.mark.parametrize("lack", ["has_storage", "secret_exists"])
def test_where_nothing_can_be_kept_nothing_waits(kit, lack):
    observed = replace(seen(failed()), **{lack: False})
    assert evidence_is_kept(observed)
    taking = Plan(delete=(Ref("Job", "smoke-a1"),))
    assert keep_evidence(kit.run(), observed, taking) == taking


def test_a_job_goes_only_once_evidence_of_its_pods_is_kept(kit):
    job, pod = Ref("Job", "smoke-a1"), Ref("Pod", "p9")
    taking = Plan(delete=(job,), apply=({"kind": "Job"},), status={"reason": "RunFailed"})
    held = keep_evidence(kit.run(), seen(failed(), logs={"p0": PodLog("x")}), taking)
    assert (held.delete, held.status, held.apply) == ((), None, taking.apply)
    assert held.blobs
    assert keep_evidence(kit.run(), seen(failed(), exits=frozenset({EXIT})), taking) == taking
    # A pod that is replaced takes no other with it.
    assert keep_evidence(kit.run(), seen(failed()), Plan(delete=(pod,))).delete == (pod,)


def test_a_run_whose_report_fails_is_settled_with_its_evidence_in_storage(kit):
    world = kit.World()
    world.tick()
    while world.condition("Complete").status != "True":
        world.work()
        world.tick()
    while world.condition("ReportReady").reason == "Reporting":
        world.tick()
        world.kill(code=1, message="Traceback ...\nMemoryError")
    world.settle()
    kept = [key for key in world.keys("attempts/1/report/") if key.endswith("exit.json")]
    assert len(kept) == 4
    assert all(world.get_json(key)["message"] == "MemoryError" for key in kept)
    assert world.rests()


def test_a_settled_run_still_keeps_what_it_finds(kit):
    world = kit.World()
    world.settle()
    world.pods["late"] = {
        "metadata": {"name": "late", "labels": {"toolorch.dev/step": "shard", "toolorch.dev/attempt": "1"}},
        "status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
        "job": None, "index": 0,
    }  # fmt: skip
    world.tick()
    assert world.get_json("attempts/1/shard/late/exit.json")["message"] == "The node was low on resource: memory."
    assert world.rests()


@pytest.mark.parametrize(
    ("ended", "status", "said"),
    [
        pytest.param({"exitCode": 137, "reason": "OOMKilled"}, {}, "OOMKilled", id="the kernel's word"),
        pytest.param({"exitCode": 1, "reason": "Error", "message": "a\nb\n"}, {}, "b", id="the last line"),
        pytest.param(None, {"reason": "Evicted", "message": "low on memory"}, "low on memory", id="the kubelet's word"),
        pytest.param(None, {"reason": "NodeAffinity"}, "NodeAffinity", id="its reason alone"),
        pytest.param(
            {"exitCode": 137, "reason": "OOMKilled", "message": '{"running": [12, 15]}'}, {},
            "OOMKilled while units 12 and 15 ran", id="two units",
        ),
        pytest.param(
            {"exitCode": 139, "reason": "Error", "message": '{"running": [7]}'}, {},
            "exit code 139 while unit 7 ran", id="one unit",
        ),
        pytest.param(
            {"exitCode": 139, "reason": "Error", "message": '{"running": [1, 2, 3, 4, 5, 6, 7]}'}, {},
            "exit code 139 while units 1, 2, 3, 4, 5 and 2 more ran", id="many units",
        ),
        pytest.param({"exitCode": 1, "reason": "Error", "message": '{"running": []}'}, {}, "exit code 1", id="no unit"),
    ],
)  # fmt: skip
def test_how_a_pod_ended_is_one_sentence(ended, status, said):
    containers = {"containerStatuses": [{"state": {"terminated": ended}}]} if ended else {}
    raw = {"metadata": {"name": "p"}, "status": {"phase": "Failed", **status, **containers}}
    assert parse_pod(raw).message == said
