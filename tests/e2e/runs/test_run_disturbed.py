"""What dies is replaced, what is stored is not run again: pods, Jobs, operator and storage fail under a run."""

import random
import time

import pytest
from cluster_runs import pool
from kind_cluster import PATIENCE, RELEASE_NAMESPACE
from node_processes import signal_pods
from patience import until

pytestmark = pytest.mark.cluster

UNITS, NEGLECTED = 30, 90
S3_PODS = "app.kubernetes.io/component=s3"


def assert_whole_in_one_attempt(runs, name):
    status = runs.until_over(name)
    assert (status["done"], status["attempt"]) == (f"{UNITS}/{UNITS}", 1)
    stored = runs.stored(name)
    stored.assert_whole()
    assert stored.assignments == {1: list(range(UNITS))}
    return stored


def test_every_worker_killed_the_operator_twice_and_storage_once_change_no_reward(
    cluster, runs, operator, shaken, shaken_spec
):
    runs.start("battered", "shaky", **shaken_spec | {"concurrencyPerShard": 3})
    before = operator.restarts()
    runs.until_done("battered", 30)
    workers = runs.pods("battered")
    assert signal_pods(workers) == len(workers) == shaken_spec["shards"]
    operator.kill()
    runs.until_done("battered", 150)
    storage = cluster.get("pods", namespace=RELEASE_NAMESPACE, selector=S3_PODS)
    assert signal_pods(storage) == 1
    operator.kill()
    status = runs.until_over("battered", seconds=240)
    assert (status["done"], status["attempt"], operator.restarts() - before) == ("300/300", 1, 2)
    stored = runs.stored("battered")
    stored.assert_whole()
    assert stored.rewards() == shaken[1].rewards()


def test_the_operator_killed_at_random_moments_of_three_runs_changes_nothing_in_them(runs, operator):
    names, chance = ("killed-1", "killed-2", "killed-3"), random.Random(1)
    for name in names:
        runs.start(name, "slow", shards=2)
        time.sleep(chance.uniform(0.5, 6))
    operator.kill()
    for name in names:
        assert_whole_in_one_attempt(runs, name)


def test_two_operators_that_both_lead_by_mistake_make_each_thing_once(runs, operator_without_election):
    operator_without_election.scale(2)
    runs.start("ruled-by-two", "slow")
    stored = assert_whole_in_one_attempt(runs, "ruled-by-two")
    runs.until("ruled-by-two", lambda s: s.get("report"))
    assert runs.jobs("ruled-by-two") == ["ruled-by-two-a1", "ruled-by-two-plan", "ruled-by-two-report"]
    assert len(runs.pods("ruled-by-two")) == 3
    assert len(runs.events("ruled-by-two", "RunComplete")) == 1
    assert len(stored.results) == UNITS


@pytest.fixture(scope="module")
def neglected(runs, operator_of_package):
    """What was stored of a run whose Job was deleted while nobody looked; another ended in that time."""
    # More than a drain can end.
    runs.start("lost-job", "slow", tasks=NEGLECTED // 3, concurrencyPerShard=2)
    runs.until_done("lost-job", 3)
    runs.start("unseen", "slow")
    runs.until("unseen", lambda s: s.get("attempt"))
    operator_of_package.scale(0)
    try:
        runs.cluster.kubectl("delete", "job", "lost-job-a1", "--cascade=foreground", namespace=runs.namespace)
        stored = runs.stored("lost-job")
        runs.patch("lost-job", {"spec": {"concurrencyPerShard": 8}})
        runs.cluster.wait("job/unseen-a1", "condition=Complete", namespace=runs.namespace)
        assert runs.status("unseen")["units"]["done"] < UNITS, "somebody saw it"
    finally:
        operator_of_package.scale(1)
    return stored


def test_a_run_that_nobody_saw_running_is_found_whole(runs, neglected):
    assert_whole_in_one_attempt(runs, "unseen")


def test_an_attempts_job_deleted_while_nobody_looks_is_made_again_for_what_is_missing(runs, neglected):
    assert 0 < len(neglected.results) < NEGLECTED
    assert runs.until_over("lost-job")["done"] == f"{NEGLECTED}/{NEGLECTED}"
    after = runs.stored("lost-job")
    after.assert_whole()
    assert {key: after.results[key] for key in neglected.results} == neglected.results


@pytest.fixture(scope="module")
def retried(runs):
    """A run that ends while others are looked at: one call in twenty hangs, the same ones in every run.

    Each hangs until the unit's deadline ends it with an infra error.
    """
    runs.apply(pool("hanging", "mock/oracle", {"MOCK_HANG_PERCENT": 5}, toolCalling={"parser": "hermes"}))
    runs.until_ready("hanging")
    limits = {
        "deadlines": {"callSeconds": 10, "unitSeconds": 10},
        "acceptance": {"minCoverage": 0, "maxInfraErrors": 100},
    }
    runs.start("retried", "hanging", **limits)
    return "retried"


def running(runs, name):
    return [p for p in runs.pods(name) if p["status"]["phase"] == "Running"]


def test_workers_pods_deleted_in_the_middle_are_replaced_and_the_run_is_whole(runs, retried):
    """One gently, the other by force: its process lives on beside its replacement."""
    runs.start("lost-pods", "slow", concurrencyPerShard=2)
    runs.until_done("lost-pods", 3)
    gently, forced, *_ = until(lambda: running(runs, "lost-pods"), lambda pods: len(pods) > 1, seconds=PATIENCE)
    for pod, how in ((gently, ()), (forced, ("--force", "--grace-period=0"))):
        runs.cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", *how, namespace=runs.namespace)
    assert_whole_in_one_attempt(runs, "lost-pods")


def test_a_run_follows_its_shards_up_and_down_while_it_goes_on(runs, retried):
    runs.start("resized", "slow", shards=2, concurrencyPerShard=2)
    for shards, done in ((4, 2), (1, 8)):
        runs.until_done("resized", done)
        runs.patch("resized", {"spec": {"shards": shards}})
        size = f"jsonpath={{.spec.completions}}={shards}"
        runs.cluster.wait("job/resized-a1", size, namespace=runs.namespace, seconds=30)
    assert_whole_in_one_attempt(runs, "resized")


def test_a_second_attempt_takes_exactly_the_missing_units(runs, retried):
    runs.until_over(retried)
    stored = runs.stored(retried)
    assert len(stored.assignments) > 1, "no unit ended with an infra error: the test tests nothing"
    done_in = [stored.results.get(unit, {}).get("attempt") for unit in stored.units]
    for attempt, taken in stored.assignments.items():
        assert taken == [i for i in range(UNITS) if done_in[i] is None or done_in[i] >= attempt]
    assert stored.late_calls() == []
