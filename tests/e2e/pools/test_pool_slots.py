"""Start slots on a real cluster: on one node one server starts at a time, whichever pool it is of."""

from itertools import pairwise

import pytest

pytestmark = pytest.mark.cluster

REPLICAS = 2
NAMES = ("first", "second")


@pytest.fixture(scope="module")
def queue(pools):
    """Two pools that started on one node, and the states that each replica was seen in."""
    node = pools.cluster.get("nodes", selector="!node-role.kubernetes.io/control-plane")[0]["metadata"]["name"]
    one_by_one = {
        "replicas": REPLICAS,
        "startup": {"maxConcurrentPerNode": 1},
        "placement": {"nodeSelector": {"kubernetes.io/hostname": node}},
        "env": {"MOCK_START_SECONDS": 1},
    }
    pools.apply(*(pools.make(name, **one_by_one) for name in NAMES))
    seen, told = {}, set()

    def look():
        statuses = [pools.status(name) for name in NAMES]
        for status in statuses:
            told.update(c["message"] for c in status.get("conditions", []) if c["type"] == "Ready")
            for instance in status.get("instances", []):
                seen.setdefault(instance["name"], set()).add(instance["state"])
        return [s.get("ready") for s in statuses]

    pools.look(look, lambda ready: ready == [f"{REPLICAS}/{REPLICAS}"] * len(NAMES))
    return node, seen, told


def test_no_two_servers_start_on_a_node_at_a_time(pools, queue):
    node, _, _ = queue
    starts = []
    for pod in [p for name in NAMES for p in pools.pods(name)]:
        assert pod["spec"]["nodeName"] == node
        ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
        starts.append((pod["metadata"]["creationTimestamp"], ready["lastTransitionTime"]))
    assert len(starts) == REPLICAS * len(NAMES)
    for (_, before_was_ready), (begun, _) in pairwise(sorted(starts)):
        assert begun >= before_was_ready, f"two starts at a time: {sorted(starts)}"


def test_who_waits_shows_it_and_says_for_whom(pools, queue):
    node, seen, told = queue
    waited = [name for name, states in seen.items() if "WaitingForSlot" in states]
    assert len(waited) == REPLICAS * len(NAMES) - 1, f"all but the first: {seen}"
    assert [words for words in told if f"waits for a start slot on {node}" in words and "1 of 1 slots" in words]
