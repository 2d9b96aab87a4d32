"""Two operators: one leads a run, and its death, its end or a rollout in the middle of it restarts nothing."""

import signal
import time

import pytest
from kind_cluster import RELEASE_NAMESPACE
from node_processes import signal_pods
from patience import until

pytestmark = pytest.mark.cluster

TASKS, UNITS = 50, 150
# Four minutes, were it not quickened at the end.
SLOWEST, QUICKENED = {"tasks": TASKS, "shards": 2, "concurrencyPerShard": 1}, {"shards": 5, "concurrencyPerShard": 8}
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


@pytest.fixture(scope="module")
def led(runs):
    """The uids of the shards of a run, by pod, which is under way until the last test of it."""
    runs.start("led", "slow", **SLOWEST)
    runs.until_done("led", 3)
    return pods_of(runs)


def holder(cluster):
    """The uid of the pod that leads; empty: none."""
    record = cluster.get("lease", LEASE, namespace=RELEASE_NAMESPACE)["spec"]
    return record.get("holderIdentity", "").rpartition("_")[2]


def leader(cluster, operator):
    uid = until(lambda: holder(cluster), seconds=EXPIRED_WITHIN)
    (pod,) = [p for p in operator.pods() if p["metadata"]["uid"] == uid]
    return pod


def pods_of(runs):
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in runs.pods("led")}


def assert_goes_on(runs, pods):
    """Assert that who leads now heeds a change of the run, and that no shard was started again."""
    before = runs.look("evalruns", "led")
    assert before["status"]["units"]["done"] < UNITS, "it was over before it could be disturbed"
    kept = before["spec"]["ttlSecondsAfterFinished"]["complete"]
    runs.patch("led", {"spec": {"ttlSecondsAfterFinished": {"complete": kept + 1}}})
    runs.until("led", lambda s: s["observedGeneration"] > before["metadata"]["generation"])
    assert pods_of(runs) == pods


def until_led_by_another(cluster, uid, seconds):
    """Wait for another leader; return the seconds that it took."""
    began = time.monotonic()
    until(lambda: holder(cluster), lambda now: now not in ("", uid), seconds=seconds, pause=0.1)
    return time.monotonic() - began


def test_the_leader_is_killed_in_a_run_and_the_other_goes_on(runs, two, led):
    dead = leader(runs.cluster, two)
    name, uid = dead["metadata"]["name"], dead["metadata"]["uid"]
    # Stopped first, so that it cannot lay the lease down: the kubelet's SIGKILL is all that reaches it.
    assert signal_pods([dead], signal.SIGSTOP) == 1
    runs.cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force", namespace=RELEASE_NAMESPACE)
    took = until_led_by_another(runs.cluster, uid, EXPIRED_WITHIN)
    print(f"led by another after {took:.1f} s")
    assert_goes_on(runs, led)


def test_a_leader_that_is_told_to_end_hands_over_at_once(runs, two, led):
    ended = leader(runs.cluster, two)
    name, uid = ended["metadata"]["name"], ended["metadata"]["uid"]
    runs.cluster.kubectl("delete", "pod", name, "--wait=false", namespace=RELEASE_NAMESPACE)
    until(lambda: holder(runs.cluster), lambda now: now != uid, seconds=15, pause=0.1)
    took = until_led_by_another(runs.cluster, uid, RELEASED_WITHIN)
    print(f"led by another {took:.1f} s after the release")
    assert_goes_on(runs, led)


def test_a_leader_that_wakes_after_its_lease_ends_and_changes_nothing(runs, two, led):
    asleep = leader(runs.cluster, two)
    restarts = two.restarts()
    assert signal_pods([asleep], signal.SIGSTOP) == 1
    until_led_by_another(runs.cluster, asleep["metadata"]["uid"], EXPIRED_WITHIN)
    # The kubelet may have found it asleep by then, and have replaced it.
    signal_pods([asleep], signal.SIGCONT)
    until(two.restarts, lambda now: now > restarts, seconds=60)
    assert_goes_on(runs, led)


def test_a_run_under_four_leaders_ends_whole_and_each_thing_was_made_once(runs, led):
    runs.patch("led", {"spec": QUICKENED})
    status = runs.until_over("led")
    assert (status["done"], status["attempt"]) == (f"{UNITS}/{UNITS}", 1)
    assert led.items() <= pods_of(runs).items(), "no shard was started again"
    assert len(pods_of(runs)) == QUICKENED["shards"]
    runs.until("led", lambda s: s.get("report"))
    assert runs.jobs("led") == ["led-a1", "led-plan", "led-report"]
    assert len(runs.events("led", "RunComplete")) == 1
    stored = runs.stored("led")
    stored.assert_whole()
    assert stored.assignments == {1: list(range(UNITS))}


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
