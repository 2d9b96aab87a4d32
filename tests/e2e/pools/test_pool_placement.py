"""Replicas and the nodes' GPUs on a real cluster: who fits goes in, who does not is told why and gets no Deployment."""

import json
import secrets
import time

import pytest

pytestmark = pytest.mark.cluster

GPUS = 8
"""As many as each worker pretends to have, of a kind of its own: what else runs on the cluster holds none of them."""
LISTING_SECONDS = 2.5
"""The operator's listing of nodes and quotas may be almost so old."""


@pytest.fixture(scope="module")
def gpu(cluster):
    """A resource that both workers have eight of, as long as this module runs."""
    resource = f"e2e-{secrets.token_hex(2)}.toolorch.dev/gpu"
    offer(cluster, resource, str(GPUS))
    yield resource
    offer(cluster, resource, None)


def offer(cluster, resource, count):
    status = {"status": {part: {resource: count} for part in ("capacity", "allocatable")}}
    for node in workers(cluster):
        cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps(status))


def workers(cluster):
    return [n["metadata"]["name"] for n in cluster.get("nodes", selector="!node-role.kubernetes.io/control-plane")]


@pytest.fixture(scope="module", autouse=True)
def _pools(pools, gpu):
    gpus = {"gpuResource": gpu}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one-gpu"}}
    pools.apply({**quota, "spec": {"hard": {"requests.nvidia.com/gpu": "1"}}})
    time.sleep(LISTING_SECONDS)
    pools.apply(
        pools.make("wide", replicas=3, tensorParallelSize=8, resources=gpus),
        pools.make("lost", placement={"nodeSelector": {"nowhere": "yes"}}),
        pools.make("over", tensorParallelSize=2, resources={"gpuResource": "nvidia.com/gpu"}),
    )


def nodes_of(status):
    return {i["name"]: (i.get("node", ""), i["state"]) for i in status["instances"]}


def test_what_fits_is_placed_and_the_rest_is_told_with_numbers_and_holders(pools):
    first, second = sorted(workers(pools.cluster))
    status = pools.until("wide", lambda s: s.get("ready") == "2/3")
    found = nodes_of(status)
    assert sorted([found["wide-0"], found["wide-1"]]) == [(first, "Ready"), (second, "Ready")]
    assert found["wide-2"] == ("", "Pending")
    placed = pools.condition("wide", "Placed")
    assert (placed["status"], placed["reason"]) == ("False", "InsufficientGPU")
    words = (
        f"wide-2 needs {GPUS} GPUs on one node; free: {first} 0 of {GPUS} ({GPUS} held by pool wide),"
        f" {second} 0 of {GPUS} ({GPUS} held by pool wide)"
    )
    assert placed["message"] == words
    assert status["reason"] == "InsufficientGPU"
    assert ("Deployment", "wide-2") not in pools.children("wide")
    assert pools.events("wide", "InsufficientGPU") == [words]
    assert {p["spec"]["nodeName"] for p in pools.pods("wide")} == {first, second}


def test_gpus_that_a_scaled_pool_gives_up_go_to_the_one_that_waits(pools, gpu):
    pools.until("wide", lambda s: s.get("ready") == "2/3")
    pools.apply(pools.make("late", tensorParallelSize=4, resources={"gpuResource": gpu}))
    status = pools.until_reason("late", "InsufficientGPU")
    assert "held by pool wide" in pools.condition("late", "Placed")["message"]
    assert pools.pods("late") == []
    pools.scale("wide", 1)
    status = pools.until_ready("late")
    (kept,), ((node, _),) = pools.pods("wide"), nodes_of(status).values()
    assert kept["metadata"]["name"].startswith("wide-0-")
    assert kept["spec"]["nodeName"] != node
    assert pools.until_ready("wide")["reason"] == "AllReplicasReady"
    assert pools.condition("late", "Placed")["status"] == "True"


def test_a_selector_that_no_node_carries_is_told(pools):
    pools.until_reason("lost", "NoMatchingNode")
    placed = pools.condition("lost", "Placed")
    assert placed["status"] == "False"
    assert "no node may take it" in placed["message"]
    assert "nowhere" in placed["message"]
    assert ("Deployment", "lost-0") not in pools.children("lost")


def test_a_quota_that_leaves_too_little_is_told_by_its_name(pools):
    pools.until_reason("over", "QuotaExceeded")
    placed = pools.condition("over", "Placed")
    assert placed["message"] == "over-0 needs 2 GPUs; ResourceQuota one-gpu has 1 of 1 GPU left"
    assert ("Deployment", "over-0") not in pools.children("over")


def test_a_node_that_is_uncordoned_and_a_quota_that_is_raised_are_noticed(pools):
    node = workers(pools.cluster)[0]
    pools.cluster.kubectl("cordon", node)
    time.sleep(LISTING_SECONDS)
    try:
        pools.apply(pools.make("patient", placement={"nodeSelector": {"kubernetes.io/hostname": node}}))
        pools.until_reason("patient", "NoMatchingNode")
        assert f"{node} is cordoned" in pools.condition("patient", "Placed")["message"]
    finally:
        pools.cluster.kubectl("uncordon", node)
    pools.until_reason("over", "QuotaExceeded")
    pools.patch("one-gpu", {"spec": {"hard": {"requests.nvidia.com/gpu": "2"}}}, "resourcequota")
    assert nodes_of(pools.until_ready("patient")) == {"patient-0": (node, "Ready")}
    pools.until_ready("over")
