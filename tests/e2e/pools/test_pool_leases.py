"""Pools that runs use, on a real cluster: settings wait for the runs' end, and a pool that nobody uses sleeps."""

from itertools import pairwise

import pytest

pytestmark = pytest.mark.cluster

# A call takes so long that a run of one unit is under way for some ten seconds.
SLOW = {"MOCK_LATENCY_MS": 600}
CHANGED = ("--max-num-seqs", "32")


@pytest.fixture(scope="module", autouse=True)
def _pools(pools):
    pools.apply(
        pools.make("busy", "mock/oracle", toolCalling={"parser": "hermes"}, env=SLOW),
        pools.make("talker", "mock/user"),
        pools.make("pinned"),
        pools.make("sleepy", idleAfterSeconds=5),
    )


@pytest.fixture(scope="module")
def under_way(pools):
    """A run that uses the pools busy and talker just now, and the pod that busy had at its start."""
    pools.until_ready("busy")
    pools.until_ready("talker")
    pools.apply(pools.run("working", agent="busy", user="talker"))
    pools.look(lambda: pools.status("working", "evalrun"), lambda s: s.get("reason") == "Running")
    return born(pools, "busy")


def born(pools, name):
    """Return uid and command of a pool's only pod, empty where it has not exactly one."""
    pods = pools.pods(name)
    return [(p["metadata"]["uid"], p["spec"]["containers"][0]["command"]) for p in pods] if len(pods) == 1 else []


def rolled(pools, name, before):
    """Wait until a pool's pod is another than before, and return its command."""
    ((_, command),) = pools.look(lambda: born(pools, name), lambda b: b and b[0][0] != before[0][0])
    return command


def is_deferred(status):
    found = [c for c in status["conditions"] if c["type"] == "Reconciling"]
    return [(c["status"], c["reason"]) for c in found] == [("True", "RolloutDeferred")]


def test_a_change_waits_for_the_run_that_uses_the_pool(pools, under_way):
    pools.patch("busy", {"spec": {"maxNumSeqs": 32}})
    status = pools.until("busy", is_deferred)
    assert [lease["run"] for lease in status["leases"]] == ["working"]
    assert status["ready"] == "1/1"
    (note,) = pools.events("busy", "RolloutDeferred")
    assert "working" in note
    assert "toolorch.dev/rollout=now" in note
    assert pools.status("working", "evalrun")["reason"] == "Running", "it was over before it could be disturbed"
    assert born(pools, "busy") == under_way
    pools.cluster.wait("evalrun/working", "condition=Complete", namespace=pools.namespace)
    run = pools.status("working", "evalrun")
    assert (run["done"], run["score"], run["attempt"]) == ("1/1", "1.000", 1)
    assert CHANGED in pairwise(rolled(pools, "busy", under_way)), "with the run's end the change comes"
    status = pools.until_ready("busy")
    assert status.get("leases", []) == []


def test_a_pool_that_no_run_uses_sleeps_and_the_next_run_wakes_it(pools):
    status = pools.until_reason("sleepy", "Idle")
    assert status["ready"] == "0/0"
    pools.look(lambda: not pools.pods("sleepy"))
    (note,) = pools.events("sleepy", "Idle")
    assert "no run has used it for 5 s" in note
    pools.apply(pools.run("wakes", agent="sleepy", user="nobody"))
    status = pools.until_ready("sleepy")
    assert [lease["run"] for lease in status["leases"]] == ["wakes"]
    pools.cluster.kubectl("delete", "evalrun", "wakes", namespace=pools.namespace)
    status = pools.until_reason("sleepy", "Idle")
    assert status.get("leases", []) == []


def test_an_annotation_rolls_a_pool_although_a_run_uses_it(pools):
    pools.until_ready("pinned")
    before = born(pools, "pinned")
    # A run that waits for a pool holds its others as well.
    pools.apply(pools.run("holds", agent="pinned", user="nobody"))
    pools.until("pinned", lambda s: s.get("leases"))
    pools.patch("pinned", {"spec": {"maxNumSeqs": 32}})
    pools.until("pinned", is_deferred)
    assert born(pools, "pinned") == before
    pools.patch("pinned", {"metadata": {"annotations": {"toolorch.dev/rollout": "now"}}})
    assert CHANGED in pairwise(rolled(pools, "pinned", before))
    assert pools.until_ready("pinned")["leases"][0]["run"] == "holds"
