"""What a pool is told when no node takes a replica: the reason, the numbers, and who holds the rest."""

import pytest

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.placement.views import Quota, Taint


def refusal(world, nodes, holdings, demand, quotas=()):
    placed = world.place(nodes, holdings, [demand], quotas)
    assert list(placed.rejected) == [demand.instance]
    return placed.rejected[demand.instance]


def test_too_few_gpus_names_the_closest_nodes_and_the_holders(world):
    nodes = [world.node("node-b"), world.node("node-a"), world.node("cpu-only", 0)]
    holdings = [world.held("node-a", 7, "pool evals/qwen3-32b"), world.held("node-b", 8, "pod ml/notebook")]
    why = refusal(world, nodes, holdings, world.demand("p", gpus=2))
    assert why.reason is PoolReason.INSUFFICIENT_GPU
    assert why.message == (
        "needs 2 GPUs on one node; free: node-a 1 of 8 (7 held by pool qwen3-32b),"
        " node-b 0 of 8 (8 held by pod ml/notebook)"
    )
    assert why.nodes == (
        ("node-a", "1 of 8 (7 held by pool qwen3-32b)"),
        ("node-b", "0 of 8 (8 held by pod ml/notebook)"),
    )


def test_a_pool_of_another_namespace_keeps_its_namespace_and_the_smallest_holders_are_summed_up(world):
    held = [world.held("a", n, f"pool other/p{n}") for n in (1, 2, 4)]
    why = refusal(world, [world.node("a")], held, world.demand("p", gpus=2))
    assert why.message.endswith("free: a 1 of 8 (4 held by pool other/p4, 2 held by pool other/p2, 1 by others)")


def test_replicas_that_were_just_placed_count_as_holders(world):
    placed = world.place([world.node("a", 2)], [], world.pool("p", 3))
    assert placed.rejected["evals/p-2"].message == "needs 1 GPU on one node; free: a 0 of 2 (2 held by pool p)"


def test_five_nodes_are_named_and_long_names_are_cut(world):
    nodes = [world.node(f"{'n' * 200}-{k:02}") for k in range(17)]
    holdings = [world.held(node.name, 8, f"pod {'s' * 60}/{'p' * 200}") for node in nodes]
    why = refusal(world, nodes, holdings, world.demand("p"))
    assert why.message.endswith(" and 12 more")
    assert why.message.count("of 8") == len(why.nodes) == 5
    assert len(why.message) < 1000


def test_a_cluster_without_such_gpus_says_so(world):
    why = refusal(world, [world.node("a", 0)], [], world.demand("p", gpus=2))
    assert why.reason is PoolReason.INSUFFICIENT_GPU
    assert why.message == "needs 2 GPUs on one node; no node has any nvidia.com/gpu"


def test_gpus_without_memory_or_cpu_beside_them_are_no_lack_of_gpus(world):
    nodes = [world.node("a", memory=64, cpu=8), world.node("full", memory=512)]
    holdings = [
        world.held("a", 1, "pool evals/x", memory=40 * world.gib, cpu=6500),
        world.held("full", 8, "pool evals/y"),
    ]
    why = refusal(world, nodes, holdings, world.demand("p", gpus=2, cpu=4, memory=32))
    assert why.reason is PoolReason.INSUFFICIENT_RESOURCES
    assert why.message == (
        "needs 2 GPUs and 4 CPUs and 32 GiB of memory on one node;"
        " free: a 1.5 of 8 CPUs (6.5 held by pool x) and 24 of 64 GiB of memory (40 held by pool x)"
    )


def test_a_node_with_all_its_pods_takes_no_more(world):
    why = refusal(world, [world.node("a")], [world.held("a", 0, pods=110)], world.demand("p"))
    assert why.reason is PoolReason.INSUFFICIENT_RESOURCES
    assert why.message == "needs 1 GPU and 1 pod on one node; free: a 0 of 110 pods (110 held by pool old)"


def test_a_quota_says_its_name_and_what_it_has_left(world):
    quota = Quota("evals", "compute", world.gpu, hard=8, used=7)
    why = refusal(world, [world.node("a")], [], world.demand("p", gpus=2), [quota])
    assert why.reason is PoolReason.QUOTA_EXCEEDED
    assert why.message == "needs 2 GPUs; ResourceQuota compute has 1 of 8 GPUs left"


def test_no_matching_node_says_of_each_why(world):
    nodes = [
        world.node("a", labels={"pool": "x"}, cordoned=True),
        world.node("b", labels={"pool": "x"}, taints=(Taint("team", "ml", "NoSchedule"),)),
        world.node("c", labels={"pool": "x"}, ready=False),
        world.node("d"),
    ]
    why = refusal(world, nodes, [], world.demand("p", node_selector={"pool": "x"}))
    assert why.reason is PoolReason.NO_MATCHING_NODE
    assert why.message == (
        "no node may take it: a is cordoned, b has the taint team=ml:NoSchedule, c is not ready,"
        " d lacks the label pool=x"
    )


def test_a_node_without_gpus_is_no_match_for_who_needs_one(world):
    tainted = world.node("gpu", taints=(Taint("nvidia.com/gpu", "present", "NoSchedule"),))
    why = refusal(world, [world.node("cpu-only", 0), tainted], [], world.demand("p"))
    assert why.reason is PoolReason.NO_MATCHING_NODE
    assert why.message == "no node may take it: gpu has the taint nvidia.com/gpu=present:NoSchedule"


def test_an_empty_cluster_is_said_to_be_one(world):
    assert refusal(world, [], [], world.demand("p")).message == "the cluster has no nodes"


@pytest.mark.parametrize(
    ("memory", "reason"),
    [("40960", PoolReason.MODEL_DOES_NOT_FIT), ("81559", None), ("unknown", None)],
    ids=["too small", "big enough", "what the label does not tell is trusted"],
)
def test_a_model_that_no_gpu_is_big_enough_for(world, memory, reason):
    nodes = [
        world.node("a", labels={"nvidia.com/gpu.memory": memory}),
        world.node("b", cordoned=True),
        world.node("c", 0),
    ]
    placed = world.place(nodes, [], [world.demand("p", min_gpu_gib=61.25)])
    if reason is None:
        assert placed.assigned == {"evals/p-0": "a"}
    else:
        why = placed.rejected["evals/p-0"]
        assert (why.reason, why.nodes) == (reason, (("a", "has 40.0 GiB on each GPU, not 61.2"),))
        assert why.message == "needs 61.2 GiB on each GPU: a has 40.0 GiB on each GPU, not 61.2"
