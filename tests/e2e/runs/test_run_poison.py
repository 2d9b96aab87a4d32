"""A unit whose worker runs out of memory with it, whichever works on it: it is set aside, and the rest is scored."""

import pytest
from cluster_runs import condition

pytestmark = pytest.mark.cluster

TOTAL = 300


@pytest.fixture(scope="module")
def poisoned(runs, poisoned_name):
    """A run with a unit that no pod survives, at its end: status and objects."""
    return runs.until_over(poisoned_name, "Failed", seconds=300), runs.stored(poisoned_name)


def test_the_unit_is_set_aside_and_all_others_are_scored(poisoned, flooded):
    status, stored = poisoned
    assert (status["done"], status["units"]["quarantined"]) == (f"{TOTAL - 1}/{TOTAL}", 1)
    assert status["quarantined"] == [flooded]
    assert sorted([*stored.results, flooded]) == sorted(stored.units)
    assert stored.late_calls() == []


def test_it_counts_against_the_coverage_that_is_asked_for(runs, poisoned, flooded):
    status, _ = poisoned
    failed = condition(status, "Failed")
    assert failed["reason"] == "CoverageBelowMinimum"
    assert f"{TOTAL - 1} of {TOTAL}" in failed["message"]
    assert "1 quarantined" in failed["message"]
    (told,) = runs.events("poisoned", "UnitsQuarantined")
    assert flooded in told


def test_each_death_is_told_with_the_log_of_the_pod(poisoned, flooded):
    _, stored = poisoned
    exits = {key: stored.read(key) for key in stored.objects if key.endswith("/exit.json")}
    killed = {key: told for key, told in exits.items() if told["reason"] == "OOMKilled"}
    assert len(killed) >= 2
    index = stored.units.index(flooded)
    assert all(index in told["running"] and told["node"] for told in killed.values())
    assert [index] in [told["running"] for told in killed.values()], "at last it ran alone"
    for key in killed:
        assert b"shard_begins" in stored.objects[key.replace("exit.json", "pod.log")]


def test_where_less_coverage_is_asked_for_the_same_run_is_complete(runs, poisoned):
    before = poisoned[1].results
    runs.patch("poisoned", {"spec": {"acceptance": {"minCoverage": 99}}})
    status = runs.until("poisoned", lambda s: condition(s, "Complete"))
    assert (status["done"], status["units"]["quarantined"]) == (f"{TOTAL - 1}/{TOTAL}", 1)
    assert runs.stored("poisoned", "results/").results == before
