"""What bounds a run: its budget, the time that its children stay, the grace of its pods, the patience with a shard."""

import json
import signal
import time

import pytest
from cluster_runs import condition
from node_processes import signal_pods

pytestmark = pytest.mark.cluster

UNITS = 30
SPENT_UNITS = 90
"""Some 30,000 tokens each."""
TTL_SECONDS = 5
GRACE_SECONDS = 30
"""Of a run's pods, between SIGTERM and SIGKILL."""
DRAINED = 44
"""Exit code of a shard that has given back what it could not end."""
FEW_TOKENS, MANY_TOKENS = 300_000, 100_000_000


@pytest.fixture(scope="module")
def stopped(runs):
    """The name of a shard whose process stands still from now on, in the middle of its units."""
    runs.start("stopped", "slow", concurrencyPerShard=2, deadlines={"callSeconds": 10})
    runs.until_done("stopped", 3)
    pod = next(p for p in runs.pods("stopped") if p["status"]["phase"] == "Running")
    assert signal_pods([pod], signal.SIGSTOP) == 1
    return pod["metadata"]["name"]


@pytest.fixture(scope="module")
def suspended(runs, stopped):
    """When a run was suspended that cannot end its units, and the exit codes of its only shard, each with its time."""
    runs.until_ready("never")
    runs.start("endless", "never", shards=1)
    runs.until("endless", lambda s: s.get("units", {}).get("running"))
    path = "{.status.containerStatuses[0].state.terminated.exitCode}"
    selector = "toolorch.dev/name=endless,toolorch.dev/step=shard"
    with runs.cluster.watching("pods", path, namespace=runs.namespace, selector=selector) as seen:
        began = time.monotonic()
        runs.patch("endless", {"spec": {"suspend": True}})
        yield began, seen


@pytest.fixture(scope="module")
def spent(runs, suspended):
    """A run that used up its budget: status and objects."""
    limits = {"budget": {"tokens": FEW_TOKENS}, "ttlSecondsAfterFinished": {"complete": TTL_SECONDS}}
    runs.start("spent", "slow", tasks=SPENT_UNITS // 3, concurrencyPerShard=2, **limits)
    return runs.until_over("spent", "Failed"), runs.stored("spent")


@pytest.fixture(scope="module")
def afforded(runs, spent):
    """The same run with a larger budget, at its end."""
    runs.patch("spent", {"spec": {"budget": {"tokens": MANY_TOKENS}, "concurrencyPerShard": 8}})
    return runs.until("spent", lambda s: condition(s, "Complete")), runs.stored("spent")


def test_a_run_that_has_used_up_its_budget_fails_with_what_it_has(spent):
    status, stored = spent
    failed = condition(status, "Failed")
    assert failed["reason"] == "BudgetExhausted"
    assert "300,000" in failed["message"]
    assert status["tokens"] >= FEW_TOKENS
    assert 0 < len(stored.results) < SPENT_UNITS


def test_with_a_larger_budget_it_goes_on_and_runs_no_finished_unit_again(spent, afforded):
    _, before = spent
    status, after = afforded
    assert (status["done"], status["attempt"]) == (f"{SPENT_UNITS}/{SPENT_UNITS}", 2)
    after.assert_whole()
    assert {key: after.results[key] for key in before.results} == before.results
    missing = [after.units.index(key) for key in after.units if key not in before.results]
    assert after.assignments[2] == sorted(missing)


def test_children_of_a_complete_run_go_when_their_time_is_over_and_its_results_stay(runs, afforded):
    runs.until("spent", lambda _: not runs.jobs("spent") and not runs.pods("spent"))
    status = runs.status("spent")
    assert condition(status, "ReportReady")
    assert runs.stored("spent").results == afforded[1].results
    assert runs.look("configmaps", "spent-input")["kind"] == "Status", "its input is gone"


def test_a_shard_that_cannot_end_its_units_gives_them_back_within_its_grace(runs, suspended):
    began, seen = suspended
    runs.until("endless", lambda _: any(code for _, code in seen))
    ((at, code),) = [(at, code) for at, code in seen if code][:1]
    assert int(code) == DRAINED
    assert at - began < GRACE_SECONDS
    status = runs.until("endless", lambda s: condition(s, "Suspended"))
    assert status["units"]["infraErrors"] == 0


def test_a_shard_that_stands_still_gets_one_new_pod_and_the_run_ends_whole(runs, stopped):
    status = runs.until_over("stopped")
    assert (status["done"], status["attempt"]) == (f"{UNITS}/{UNITS}", 1)
    stored = runs.stored("stopped")
    stored.assert_whole()
    assert len(status["replaced"]) == 1
    (told,) = runs.events("stopped", "StragglerReplaced")
    assert stopped in told
    assert not any(json.loads(stored.objects[key]) for key in stored.objects if key.startswith("deaths/"))
