"""Nodes, pods and quotas as the API gives them become placement's views."""

from datetime import UTC, datetime

import pytest

from toolorch_operator.placement.parse import parse_node, parse_quotas, parse_requests
from toolorch_operator.placement.views import Quota, Taint

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def ready(status, since="2026-01-02T03:00:00Z"):
    return {"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": status,
            "lastTransitionTime": since}]}  # fmt: skip


def test_a_node_is_read_whole():
    node = parse_node(
        {
            "metadata": {"name": "a", "labels": {"zone": "x"}},
            "spec": {"unschedulable": True, "taints": [{"key": "team", "value": "ml", "effect": "NoSchedule"}]},
            "status": {**ready("True"), "allocatable": {"cpu": "3920m", "memory": "16Gi", "nvidia.com/gpu": "8"}},
        },
        NOW,
    )
    assert (node.name, node.labels, node.cordoned, node.ready, node.lost) == ("a", {"zone": "x"}, True, True, False)
    assert node.allocatable == {"cpu": 3920, "memory": 16 << 30, "nvidia.com/gpu": 8}
    assert node.taints == (Taint("team", "ml", "NoSchedule"),)


@pytest.mark.parametrize(
    ("status", "since", "lost"),
    [("Unknown", "2026-01-02T03:00:00Z", False), ("False", "2026-01-02T02:59:00Z", True)],
    ids=["for 245 seconds", "for 305 seconds"],
)
def test_a_node_that_is_not_ready_is_lost_when_its_pods_would_be_deleted(status, since, lost):
    node = parse_node({"metadata": {"name": "a"}, "status": ready(status, since)}, NOW)
    assert (node.ready, node.lost) == (False, lost)


def test_a_node_that_has_said_nothing_yet_is_neither_ready_nor_lost():
    node = parse_node({"metadata": {"name": "a"}}, NOW)
    assert (node.ready, node.lost) == (False, False)


def container(cpu, gpus="0", **more):
    return {"resources": {"requests": {"cpu": cpu, "nvidia.com/gpu": gpus}}, **more}


PODS = [
    ("containers add up", {"containers": [container("1"), container("500m", "2")]}, 1500, 2),
    ("a greedy init container counts alone", {"containers": [container("1")],
     "initContainers": [container("3"), container("2")]}, 3000, 0),
    ("a sidecar counts beside the containers", {"containers": [container("1")],
     "initContainers": [container("1", restartPolicy="Always")]}, 2000, 0),
    ("a sidecar counts beside the init containers after it", {"containers": [container("1")],
     "initContainers": [container("1", restartPolicy="Always"), container("3")]}, 4000, 0),
    ("overhead comes on top", {"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250, 0),
    ("what the pod requests as a whole wins", {"containers": [container("1", "1")],
     "resources": {"requests": {"cpu": "4"}}}, 4000, 1),
    ("a pod without requests holds nothing but its place", {"containers": [{}]}, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "cpu", "gpus"), [p[1:] for p in PODS], ids=[p[0] for p in PODS])
def test_what_a_pod_requests(spec, cpu, gpus):
    found = parse_requests({"spec": spec})
    assert (found.get("cpu", 0), found.get("nvidia.com/gpu", 0), found["pods"]) == (cpu, gpus, 1)


def quota(hard, used, **spec):
    return {"metadata": {"namespace": "n", "name": "q"}, "spec": spec, "status": {"hard": hard, "used": used}}


def test_quotas_of_what_pools_request_are_read_and_others_left_alone():
    hard = {"requests.nvidia.com/gpu": "8", "limits.memory": "64Gi", "cpu": "10", "services": "5", "limits.cpu": "1"}
    used = {"requests.nvidia.com/gpu": "2", "limits.memory": "1Gi", "cpu": "1500m"}
    assert list(parse_quotas(quota(hard, used))) == [
        Quota("n", "q", "nvidia.com/gpu", 8, 2),
        Quota("n", "q", "memory", 64 << 30, 1 << 30),
        Quota("n", "q", "cpu", 10000, 1500),
    ]


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, True),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}, False),
    ],
    ids=["one for pods like ours", "one for pods without requests", "one for a priority class"],
)
def test_a_quota_with_scopes_counts_only_where_a_pools_pods_are_in_them(spec, counts):
    assert bool(list(parse_quotas(quota({"pods": "3"}, {}, **spec)))) is counts
