"""Whole stories of pools in a simulated cluster: from apply to Ready, or to the words that a user can act on."""

import json
from pathlib import Path

import pytest
import yaml

from toolorch_operator.modelpool.observed import ObservedPool
from toolorch_operator.modelpool.plan import plan

EXAMPLES = Path(__file__).parents[3] / "examples"


def sample(name):
    documents = yaml.safe_load_all((EXAMPLES / "pools.yaml").read_text())
    return next(d["spec"] for d in documents if d["metadata"]["name"] == name)


def test_the_sample_pool_starts_at_95_and_settles_ready_at_85_with_two_remediations_and_two_events(world, oom_above):
    w = world(dies=oom_above(88), **sample("orchestrator"))
    w.settle()
    status = w.pool.status
    assert (status.ready, status.reason, status.effective.gpu_memory_utilization) == ("2/2", "AllReplicasReady", 85)
    assert [(r.field, r.from_, r.to, r.signature) for r in status.remediations] == [
        ("gpuMemoryUtilization", "95", "90", "CAPTURE_OOM"),
        ("gpuMemoryUtilization", "90", "85", "CAPTURE_OOM"),
    ]
    assert w.reasons() == ["GpuMemoryUtilizationLowered"] * 2 + ["AllReplicasReady"]
    assert w.events[0].message == "orchestrator-0 ended with CAPTURE_OOM: gpuMemoryUtilization 95 → 90 (attempt 1 of 6)"
    assert w.condition("MemoryFit").reason == "Remediated"
    said = status.served
    assert (said.id, said.max_model_len, said.engine_version) == ("orchestrator", 4096, "0.33.0")


def test_the_count_of_a_remediation_is_written_before_the_deployments_change(world, oom_above):
    w = world(dies=oom_above(88), gpuMemoryUtilization=95)
    w.settle()
    assert [p.status_first for p in w.plans if p.events and p.events[0].reason == "GpuMemoryUtilizationLowered"] == [
        True,
        True,
    ]
    starts = [p for p in w.plans if p.status_first and not p.events]
    assert len(starts) == w.starts == 3, "and so is each start slot"


def test_a_remediated_pool_that_is_scaled_keeps_its_lower_utilization(world, oom_above):
    w = world(dies=oom_above(88), gpuMemoryUtilization=95, replicas=2)
    w.settle()
    starts = w.starts
    w.change(replicas=4)
    w.settle()
    assert w.pool.status.ready == "4/4"
    assert w.starts == starts + 2
    assert len(w.pool.status.remediations) == 2
    assert all(c.observed_generation == 2 for c in w.pool.status.conditions)


def test_a_spec_change_that_bears_on_memory_starts_afresh(world, oom_above):
    w = world(dies=oom_above(88), gpuMemoryUtilization=95)
    w.settle()
    w.dies = lambda command: None
    w.change(maxModelLen=2048)
    w.settle()
    assert w.pool.status.effective.gpu_memory_utilization == 95
    assert w.pool.status.ladder.attempts == 0
    assert w.condition("MemoryFit").reason == "NoRemediationNeeded"


def test_scaling_down_deletes_deployment_and_service_of_the_last_replicas(world):
    w = world(replicas=3)
    w.settle()
    w.change(replicas=1)
    result = w.reconcile()
    assert [(r.kind, r.name) for r in result.delete] == [
        ("Deployment", "orchestrator-1"),
        ("Deployment", "orchestrator-2"),
        ("Service", "orchestrator-1"),
        ("Service", "orchestrator-2"),
    ]
    assert [i.state for i in w.pool.status.instances] == ["Ready", "Draining", "Draining"]
    assert w.pool.status.ready == "1/1"


def test_a_pool_without_replicas_is_not_ready_and_says_so(world):
    w = world(replicas=0)
    w.settle()
    assert (w.pool.status.ready, w.pool.status.reason) == ("0/0", "ScaledToZero")
    assert w.condition("Stalled").status == "False"
    assert w.reasons() == []


@pytest.mark.parametrize(
    ("spec", "signature", "reason", "word"),
    [
        pytest.param({}, "CAPTURE_OOM", "RemediationExhausted", "--enforce-eager", id="six attempts do not help"),
        pytest.param(
            {"remediation": {"gpuMemoryUtilization": {"min": 85}}},
            "RUN_OOM",
            "RemediationExhausted",
            "minimum of 85",
            id="the minimum does not help",
        ),
        pytest.param(
            {"remediation": {"allow": ["MaxModelLen"]}},
            "RUN_OOM",
            "RemediationNotAllowed",
            "remediation.allow lacks GpuMemoryUtilization",
            id="the user allows no lower utilization",
        ),
        pytest.param({}, "LOAD_OOM", "ModelDoesNotFit", "tensorParallelSize", id="the weights do not fit"),
        pytest.param({}, "NONE", "UnclassifiedCrash", "kubectl logs --previous", id="nobody knows why"),
    ],
)
def test_a_pool_stalls_with_advice_when(world, oom_above, spec, signature, reason, word):
    w = world(dies=oom_above(0, signature), gpuMemoryUtilization=95, **spec)
    w.settle()
    w.restart_in_place("orchestrator-0")
    w.settle()
    stalled = w.condition("Stalled")
    assert (stalled.status, stalled.reason, w.pool.status.reason) == ("True", reason, reason)
    assert word in stalled.message
    assert w.reasons().count(reason) == 1
    assert w.condition("Reconciling").status == "False"


def test_a_stall_ends_when_the_server_serves_after_all(world, oom_above):
    w = world(dies=oom_above(0, "NONE"))
    w.settle()
    container = w.pods["orchestrator-0"]["status"]["containerStatuses"][0]
    container |= {"state": {"running": {}}, "ready": True, "restartCount": 1}
    w.settle()
    assert w.condition("Stalled").status == "False"
    assert w.pool.status.reason == "AllReplicasReady"


def test_a_server_with_another_name_is_not_ready_and_is_told_once(world):
    w = world(serves="something-else")
    w.settle()
    assert w.pool.status.ready == "0/1"
    assert w.condition("PreflightPassed").reason == "ServedNameMismatch"
    assert "orchestrator-0 serves something-else, not orchestrator" in w.condition("Ready").message
    assert w.reasons() == ["ServedNameMismatch"]


def test_an_image_that_cannot_be_pulled_is_named_in_the_reason_and_not_called_a_start(world):
    w = world()
    w.settle()
    [pod] = w.pods.values()
    waits = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    pod["status"] |= {"phase": "Pending", "containerStatuses": [{"name": "server", "ready": False, "state": waits}]}
    w.reconcile()
    assert w.pool.status.reason == "PodCannotStart"
    assert "ErrImagePull no such image" in w.condition("Ready").message


def test_endpoints_follow_readiness(world):
    w = world(replicas=2)
    w.reconcile()
    endpoints = json.loads(w.children["ConfigMap"]["orchestrator-endpoints"]["data"]["endpoints.json"])
    assert [e["ready"] for e in endpoints["endpoints"]] == [False, False]
    w.settle()
    texts = w.children["ConfigMap"]["orchestrator-endpoints"]["data"]
    endpoints = json.loads(texts["endpoints.json"])
    assert [(e["url"], e["ready"]) for e in endpoints["endpoints"]] == [
        ("http://orchestrator-0.evals.svc:8000/v1", True),
        ("http://orchestrator-1.evals.svc:8000/v1", True),
    ]
    assert json.loads(texts["model_config.json"]) == {
        "orchestrator": [
            {"ip_addr": "orchestrator-0.evals.svc", "port": "8000"},
            {"ip_addr": "orchestrator-1.evals.svc", "port": "8000"},
        ]
    }


def test_a_pool_whose_servers_are_asked_or_serve_is_not_looked_at_again(world, defaults):
    w = world()
    w.reconcile()
    assert w.plans[-1].requeue_after is None
    w.roll()
    seen = w.observe(probe=False)
    assert plan(w.pool, seen, w.now, defaults).requeue_after is None, "its answer wakes the pool"
    w.settle()
    assert w.plans[-1].requeue_after is None


def test_a_thousand_replicas_fit_into_a_small_status(world):
    w = world(name="a" * 40, replicas=1000)
    w.serve_at_once()
    for pod in w.pods.values():
        pod["spec"]["nodeName"] = "n" * 253
    w.reconcile()
    assert w.pool.status.ready == "1000/1000"
    assert len(json.dumps(w.plans[-1].status).encode()) < 64 * 1024


def test_a_pool_that_is_being_deleted_is_left_to_the_garbage_collection(pool_of, world, defaults):
    w = world()
    meta = w.pool.metadata.model_copy(update={"deletion_timestamp": w.now})
    assert plan(w.pool.model_copy(update={"metadata": meta}), ObservedPool(), w.now, defaults).apply == ()
