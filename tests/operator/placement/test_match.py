"""Labels, products and taints mean what Kubernetes takes them for."""

import pytest

from toolorch_api.pod import Toleration
from toolorch_operator.placement.match import tolerates, why_unmatched
from toolorch_operator.placement.views import Taint

TAINT = Taint("team", "ml", "NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        ({"key": "team", "operator": "Equal", "value": "ml"}, True),
        ({"key": "team", "value": "other"}, False),
        ({"key": "team"}, False),
        ({"key": "team", "operator": "Exists"}, True),
        ({"key": "other", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "team", "value": "ml", "effect": "PreferNoSchedule"}, False),
    ],
    ids=lambda value: str(value),
)
def test_which_toleration_covers_a_taint(toleration, covers):
    assert tolerates([Toleration.model_validate(toleration)], TAINT) is covers


def test_an_empty_value_equals_an_absent_one():
    assert tolerates([Toleration(key="spot")], Taint("spot", "", "NoExecute"))


def test_every_taint_needs_its_toleration(world):
    node = world.node("a", taints=(TAINT, Taint("spot", "", "NoExecute"), Taint("soft", "", "PreferNoSchedule")))
    one = world.demand("p", tolerations=(Toleration(key="team", operator="Exists"),))
    both = world.demand("p", tolerations=(*one.tolerations, Toleration(key="spot")))
    assert why_unmatched(node, one) == "has the taint spot:NoExecute"
    assert why_unmatched(node, both) == ""


def test_who_tolerates_a_cordon_may_come(world):
    toleration = Toleration(key="node.kubernetes.io/unschedulable", operator="Exists")
    assert why_unmatched(world.node("a", cordoned=True), world.demand("p", tolerations=(toleration,))) == ""


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, ""),
        ({"nvidia.com/gpu.product": "NVIDIA-L4"}, "has GPUs of the product NVIDIA-L4"),
        ({}, "lacks the label nvidia.com/gpu.product"),
    ],
    ids=["allowed", "another", "unlabelled"],
)
def test_only_the_allowed_products_match(world, labels, why):
    demand = world.demand("p", gpu_products=("NVIDIA-H100-80GB-HBM3", "NVIDIA-H200"))
    assert why_unmatched(world.node("a", labels=labels), demand) == why
