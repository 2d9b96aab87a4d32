"""Two operators: one leads a run, and its death, its end or a rollout in the middle of it restarts nothing."""

import signal
import time

import pytest
from kind_cluster import RELEASE_NAMESPACE
from node_processes import signal_pods
from patience import until

pytestmark = pytest.mark.cluster

UNITS = 90
LEASE = "toolorch"
RELEASED_WITHIN = 3
"""Seconds from the end of a leader that ends in order; its running reconciles come on top."""
EXPIRED_WITHIN = 20
"""Seconds from a leader's death."""


@pytest.fixture
def two(operator):
    """Two operators that are ready, of which one leads."""
    operator.scale(2)
    return operator


def holder(cluster):
    """The uid of the pod that leads; empty: none."""
    record = cluster.get("lease", LEASE, namespace=RELEASE_NAMESPACE)["spec"]
    return record.get("holderIdentity", "").rpartition("_")[2]


def leader(cluster, operator):
    uid = until(lambda: holder(cluster), seconds=EXPIRED_WITHIN)
    (pod,) = [p for p in operator.pods() if p["metadata"]["uid"] == uid]
    return pod


def start(runs, name):
    runs.start(name, "slow", tasks=UNITS // 3, concurrencyPerShard=2)
    runs.until_done(name, 5)
    return pods_of(runs, name)


def pods_of(runs, name):
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in runs.pods(name)}


def assert_whole(runs, name, pods):
    status = runs.until_over(name)
    assert (status["done"], status["attempt"]) == (f"{UNITS}/{UNITS}", 1)
    assert pods_of(runs, name) == pods, "no shard was started again"
    assert runs.jobs(name) == [f"{name}-a1", f"{name}-plan", f"{name}-report"]
    assert len(runs.events(name, "RunComplete")) == 1
    stored = runs.stored(name)
    stored.assert_whole()
    assert stored.assignments == {1: list(range(UNITS))}


def until_led_by_another(cluster, uid, seconds):
    """Wait for another leader; return the seconds that it took."""
    began = time.monotonic()
    until(lambda: holder(cluster), lambda now: now not in ("", uid), seconds=seconds, pause=0.1)
    return time.monotonic() - began


def test_the_leader_is_killed_in_a_run_and_the_other_goes_on(runs, two):
    pods = start(runs, "leader-killed")
    dead = leader(runs.cluster, two)
    name, uid = dead["metadata"]["name"], dead["metadata"]["uid"]
    # Stopped first, so that it cannot lay the lease down: the kubelet's SIGKILL is all that reaches it.
    assert signal_pods([dead], signal.SIGSTOP) == 1
    runs.cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force", namespace=RELEASE_NAMESPACE)
    took = until_led_by_another(runs.cluster, uid, EXPIRED_WITHIN)
    print(f"led by another after {took:.1f} s")
    assert_whole(runs, "leader-killed", pods)


def test_a_leader_that_is_told_to_end_hands_over_at_once(runs, two):
    pods = start(runs, "leader-ended")
    ended = leader(runs.cluster, two)
    name, uid = ended["metadata"]["name"], ended["metadata"]["uid"]
    runs.cluster.kubectl("delete", "pod", name, "--wait=false", namespace=RELEASE_NAMESPACE)
    until(lambda: holder(runs.cluster), lambda now: now != uid, seconds=15, pause=0.1)
    took = until_led_by_another(runs.cluster, uid, RELEASED_WITHIN)
    print(f"led by another {took:.1f} s after the release")
    assert_whole(runs, "leader-ended", pods)


def test_a_leader_that_wakes_after_its_lease_ends_and_changes_nothing(runs, two):
    pods = start(runs, "leader-asleep")
    asleep = leader(runs.cluster, two)
    restarts = two.restarts()
    assert signal_pods([asleep], signal.SIGSTOP) == 1
    until_led_by_another(runs.cluster, asleep["metadata"]["uid"], EXPIRED_WITHIN)
    # The kubelet may have found it asleep by then, and have replaced it.
    signal_pods([asleep], signal.SIGCONT)
    until(two.restarts, lambda now: now > restarts, seconds=60)
    assert_whole(runs, "leader-asleep", pods)


def test_two_pods_are_ready_and_one_leads(cluster, two):
    lease = cluster.get("lease", LEASE, namespace=RELEASE_NAMESPACE)
    assert lease["spec"]["leaseDurationSeconds"] == 15
    leads = []
    for pod in two.pods():
        with cluster.forward(f"pod/{pod['metadata']['name']}", 8080, namespace=RELEASE_NAMESPACE) as port:
            address = f"http://127.0.0.1:{port}/metrics"
            text = cluster.call("curl", "--silent", "--noproxy", "*", address).stdout
        leads += [line.split()[1] for line in text.splitlines() if line.startswith("toolorch_leader ")]
    assert sorted(leads) == ["0.0", "1.0"]
