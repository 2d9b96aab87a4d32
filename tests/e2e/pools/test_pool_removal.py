"""Pools that are scaled and deleted on a real cluster: nothing is left of them, even where the operator is away."""

import pytest

pytestmark = pytest.mark.cluster

OPERATOR = "deployment/toolorch"
NAMES = ("left", "scaled")


@pytest.fixture(scope="module", autouse=True)
def _pools(pools):
    pools.apply(*(pools.make(name) for name in NAMES))


def of_replicas(pools, name):
    """Return the Deployments and Services that a pool has."""
    return [child for child in pools.children(name) if child[0] in ("Deployment", "Service")]


def standing(pools, name):
    """Return those, and how many pods there are."""
    return of_replicas(pools, name), len(pools.pods(name))


def both(name, *numbers):
    return sorted((kind, f"{name}-{n}") for kind in ("Deployment", "Service") for n in numbers)


def test_scaling_up_and_down_makes_and_removes_what_belongs_to_a_replica(pools):
    pools.until_ready("scaled")
    (pod,) = pools.pods("scaled")
    pools.scale("scaled", 2)
    pools.until_ready("scaled", 2)
    assert of_replicas(pools, "scaled") == sorted([("Service", "scaled"), *both("scaled", 0, 1)])
    assert [e["name"] for e in pools.endpoints("scaled")] == ["scaled-0", "scaled-1"]
    pools.scale("scaled", 1)
    left = sorted([("Service", "scaled"), *both("scaled", 0)])
    pools.look(lambda: standing(pools, "scaled"), lambda seen: seen == (left, 1))
    assert [e["name"] for e in pools.endpoints("scaled")] == ["scaled-0"]
    assert pools.pods("scaled")[0]["metadata"]["uid"] == pod["metadata"]["uid"], "who stays is not touched"
    pools.scale("scaled", 0)
    status = pools.until_reason("scaled", "ScaledToZero")
    assert status["ready"] == "0/0"
    pools.look(
        lambda: (of_replicas(pools, "scaled"), len(pools.pods("scaled"))), lambda s: s == ([("Service", "scaled")], 0)
    )
    assert pools.endpoints("scaled") == []


def test_a_deleted_pool_leaves_nothing(pools):
    pools.cluster.kubectl("delete", "mpl", "scaled", namespace=pools.namespace)
    pools.look(lambda: pools.children("scaled"), lambda found: found == [])


def test_a_pool_that_is_deleted_while_the_operator_is_away_leaves_nothing(pools, release):
    cluster = pools.cluster
    pools.until_ready("left")
    assert len(pools.children("left")) > 4
    cluster.kubectl("scale", OPERATOR, "--replicas=0", namespace="default")
    try:
        selector = f"app.kubernetes.io/name={release},app.kubernetes.io/component=operator"
        pools.look(lambda: cluster.get("pods", namespace="default", selector=selector), lambda found: found == [])
        cluster.kubectl("delete", "mpl", "left", namespace=pools.namespace)
        pools.look(lambda: pools.children("left"), lambda found: found == [])
    finally:
        cluster.kubectl("scale", OPERATOR, "--replicas=1", namespace="default")
        cluster.wait(OPERATOR, "condition=Available", namespace="default")
    assert pools.cluster.get("modelpools", namespace=pools.namespace) == []
    assert pools.children("left") == []
