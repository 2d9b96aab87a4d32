"""Storage that answers 503 for a minute in the middle of a run: nothing is lost, and nobody says more than is known."""

import pytest
from cluster_runs import condition
from faulty_storage import OUTPUT, FaultyStorage

pytestmark = pytest.mark.cluster

OUTAGE_SECONDS = 60
TOTAL = 60


@pytest.fixture(scope="module")
def storage(cluster, namespace, runs):
    """A proxy in front of the S3 server."""
    made = FaultyStorage(cluster, namespace)
    made.start()
    return made


@pytest.fixture(scope="module")
def outage(runs, storage, poisoned_name):
    """A run whose storage has just begun to answer 503 to everybody; that of another answers."""
    runs.start("cut-off", "slow", tasks=TOTAL // 3, output=OUTPUT)
    runs.until_done("cut-off", TOTAL // 6)
    storage.order(status=503, seconds=OUTAGE_SECONDS)
    return runs.status("cut-off")


def test_while_storage_is_away_the_outcome_is_unknown(runs, outage):
    status = runs.until("cut-off", lambda s: condition(s, "ResultsComplete", "Unknown"), seconds=OUTAGE_SECONDS)
    assert condition(status, "ResultsComplete", "Unknown")["reason"] == "StorageUnavailable"
    assert status["reason"].startswith("StorageUnavailable")
    assert not condition(status, "Failed")


def test_after_a_minute_without_storage_the_run_goes_on_and_nothing_is_lost(runs, storage, outage):
    seen = []

    def is_over(status):
        seen.append((bool(condition(status, "Failed")), status["attempt"], status["units"]["done"]))
        return condition(status, "Complete")

    status = runs.until("cut-off", is_over)
    assert not any(failed for failed, _, _ in seen)
    assert {attempt for _, attempt, _ in seen} == {1}
    assert min(done for _, _, done in seen) >= outage["units"]["done"], "what was done is not forgotten"
    assert (status["done"], status["units"]["infraErrors"]) == (f"{TOTAL}/{TOTAL}", 0)
    runs.stored("cut-off").assert_whole()
    told = storage.told()
    assert (told["status"], told["refused"] > 10) == (0, True)
