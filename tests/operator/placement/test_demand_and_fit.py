"""What a pool asks of placement, and whether its model's weights fit at all."""

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_operator.modelpool.claims.demand import build_demands
from toolorch_operator.modelpool.claims.fit import find_min_gpu_gib, find_need, find_weights, judge_fit

MEMORY = "nvidia.com/gpu.memory"


def build(annotations=None, status=None, **spec):
    return ModelPool.model_validate(
        {
            "metadata": {"name": "p", "namespace": "evals", "annotations": annotations or {}},
            "spec": {"model": "m", **spec},
            "status": status or {},
        }
    )


def test_a_demand_carries_what_the_spec_says():
    placement = {"strategy": "Spread", "nodeSelector": {"a": "b"}, "tolerations": [{"key": "t"}], "gpuProducts": ["X"]}
    pool = build(tensorParallelSize=2, resources={"cpu": "1500m", "memory": "48Gi"}, placement=placement)
    first, second = build_demands(pool, 2, {"p-1": "node-a"})
    assert (first.instance, first.pool) == ("evals/p-0", "evals/p")
    assert first.requests == {"cpu": 1500, "memory": 48 << 30, "pods": 1, "nvidia.com/gpu": 2}
    assert (first.gpus, first.strategy, first.gpu_products) == (2, "Spread", ("X",))
    assert (first.node_selector, first.tolerations[0].key) == ({"a": "b"}, "t")
    assert (first.node, second.node, second.runs) == ("", "node-a", True)


def test_who_was_only_told_where_to_go_does_not_run():
    first, second = build_demands(build(), 2, {"p-0": "a", "p-1": "a"}, running={"p-1"})
    assert (first.runs, second.runs) == (False, True)


def test_memory_is_what_remediation_made_of_it():
    pool = build(status={"effective": {"memory": "48Gi"}}, resources={"memory": "32Gi"})
    assert build_demands(pool, 1, {})[0].requests["memory"] == 48 << 30


def test_a_pool_without_gpus_asks_for_none():
    (demand,) = build_demands(build(resources={"gpuResource": ""}, tensorParallelSize=2), 1, {})
    assert (demand.gpus, "" in demand.requests) == (0, False)


@pytest.mark.parametrize(
    ("text", "size"), [("61.5", 61.5), ("0", None), ("nan", None), ("inf", None), ("big", None), ("", None)]
)
def test_the_annotation_says_how_big_the_weights_are(text, size):
    assert find_weights(build({"toolorch.dev/weights-gib": text})) == size


def test_need_is_weights_and_overhead_and_a_least_cache():
    share = 64 * 1.02 / 2
    assert find_need(build(tensorParallelSize=2).spec, 64) == pytest.approx(share + 2.3 + 0.05 * share + 0.25)


def test_what_servers_may_not_use_does_not_count():
    spec = build().spec
    assert find_min_gpu_gib(spec, 64, 80) == pytest.approx(find_need(spec, 64) / 0.8)


def test_nothing_is_asked_where_the_weights_are_unknown_or_there_are_no_gpus():
    assert find_min_gpu_gib(build().spec, None, 90) == 0
    assert find_min_gpu_gib(build(resources={"gpuResource": ""}).spec, 64, 90) == 0


def test_a_demand_keeps_to_gpus_that_the_weights_fit_on():
    pool = build({"toolorch.dev/weights-gib": "64"}, status={"effective": {"gpuMemoryUtilization": 80}})
    assert build_demands(pool, 1, {})[0].min_gpu_gib == find_min_gpu_gib(pool.spec, 64, 80)
    assert build_demands(pool, 1, {}, weights_gib=8)[0].min_gpu_gib == find_min_gpu_gib(pool.spec, 8, 80)


def test_fit_names_the_nodes_that_are_big_enough_and_those_that_are_not(world):
    nodes = [
        world.node("h100", labels={MEMORY: "81559"}),
        world.node("l4", labels={MEMORY: "23034"}),
        world.node("unlabelled"),
        world.node("cpu-only", 0, labels={MEMORY: "81559"}),
    ]
    fit = judge_fit(build(tensorParallelSize=2), 80, nodes, 90)
    assert (fit.needed_gib, fit.per_gpu_gib) == ("90.8", "45.4")
    assert fit.candidates == ["h100", "unlabelled"]
    assert [(r.node, r.why) for r in fit.rejected] == [
        ("l4", "90 % of its 22.5 GiB on each GPU is less than the 45.4 needed")
    ]
    assert fit.candidates


def test_a_model_that_fits_on_none_of_the_nodes_it_may_use_fits_nowhere(world):
    nodes = [world.node("l4", labels={MEMORY: "23034", "kind": "x"}), world.node("h100", labels={MEMORY: "81559"})]
    pool = build(placement={"nodeSelector": {"kind": "x"}})
    fit = judge_fit(pool, 64, nodes, 95)
    assert (bool(fit.rejected), fit.candidates) == (True, [])


def test_what_is_not_known_is_not_judged(world):
    fit = judge_fit(build(), None, [world.node("l4", labels={MEMORY: "23034"})], 95)
    assert (fit.needed_gib, fit.candidates, fit.rejected) == (None, [], [])
