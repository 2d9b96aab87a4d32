"""A pool in a queue of Kueue: what takes over its label, and how gated pods and start slots get on."""

import json

import pytest

from toolorch_operator.modelpool.jobs import build_job, parse_job
from toolorch_operator.modelpool.pods import parse_pod

QUEUE = {"kueue.x-k8s.io/queue-name": "gpus", "kueue.x-k8s.io/priority-class": "night"}
GATE = {
    "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}  # fmt: skip


def relabel(world, labels):
    metadata = world.pool.metadata.model_copy(update={"labels": labels})
    world.pool = world.pool.model_copy(update={"metadata": metadata})
    return world


@pytest.fixture
def queued(world):
    """Three replicas on two nodes, in a queue: the first and the last share a node."""
    return relabel(world(name="pool", replicas=3), QUEUE)


def take(world, state=None):
    """Let Deployments make pods; new ones wait for Kueue, or show this state of their container."""
    before = set(world.pods)
    world.roll()
    for name in set(world.pods) - before:
        show(world, name, state)


def show(world, name, state=None):
    pod = world.pods[name]
    live = {"name": "server", "restartCount": 0, "ready": False, "state": state or {}}
    pod["status"] |= {"phase": "Running" if state else "Pending", "containerStatuses": [live] if state else []}
    pod["status"]["conditions"] = [] if state else [GATE]


def states(world):
    return {i.name: i.state.value for i in world.pool.status.instances}


def test_deployments_and_their_pods_take_over_the_queue_but_not_the_selector(queued):
    queued.reconcile()
    deployment = queued.children["Deployment"]["pool-0"]
    for metadata in (deployment["metadata"], deployment["spec"]["template"]["metadata"]):
        assert metadata["labels"].items() >= QUEUE.items()
        assert metadata["labels"]["toolorch.dev/instance"] == "pool-0"
    assert not QUEUE.keys() & deployment["spec"]["selector"]["matchLabels"].keys()
    assert not QUEUE.keys() & queued.children["Service"]["pool-0"]["metadata"]["labels"].keys()


def test_a_gated_pod_waits_for_the_queue_and_holds_no_start_slot(queued):
    for _ in range(3):
        queued.reconcile()
        take(queued)
    queued.reconcile()
    assert states(queued) == dict.fromkeys(("pool-0", "pool-1", "pool-2"), "Pending")
    ready = queued.condition("Ready")
    assert ready.reason == "WaitingForQueue"
    assert "pool-0 waits for Kueue to admit it in queue gpus" in ready.message


def test_of_pods_that_kueue_admits_together_on_one_node_one_starts_and_the_other_waits_its_turn(queued):
    for _ in range(3):
        queued.reconcile()
        take(queued)
    for name in queued.pods:
        show(queued, name, {"running": {}})
    queued.reconcile()
    assert states(queued) == {"pool-0": "Starting", "pool-1": "Starting", "pool-2": "WaitingForSlot"}


def test_a_pool_that_is_put_into_a_queue_is_rolled_as_by_any_change(world):
    pool = world()
    pool.settle()
    before = pool.starts
    relabel(pool, QUEUE).settle()
    assert pool.starts == before + 1
    assert pool.pool.status.ready_replicas == 1


def test_a_job_of_the_pool_waits_for_kueue_and_says_so(queued):
    job = json.loads(json.dumps(build_job(queued.pool, "pool-fetch", "fetch-1", {})))
    assert job["spec"]["suspend"] is True
    assert job["metadata"]["labels"].items() >= QUEUE.items()
    assert not QUEUE.keys() & job["spec"]["template"]["metadata"]["labels"].keys()
    assert parse_job(job, ()).holdup == "it waits for Kueue to admit it in queue gpus"
    job["spec"]["suspend"] = False
    assert parse_job(job, ()).holdup == "it has no pod yet"


def test_a_gate_that_is_not_kueues_is_told_in_the_schedulers_words():
    pod = parse_pod({"metadata": {"name": "p"}, "status": {"conditions": [GATE]}})
    assert (pod.queue, pod.unschedulable) == ("", GATE["message"])
