"""A large run is thrifty: what the operator asks for grows with shards, not with units."""

import json

import pytest
from cluster_runs import condition
from stored_run import folder_of, read_run

pytestmark = pytest.mark.cluster

UNITS, SHARDS = 5000, 4
API_REQUESTS = 60 + 20 * SHARDS
STORAGE_REQUESTS = 200
MEMORY_MIB = 200
OPEN_FILES = 400


@pytest.fixture(scope="module")
def measured(runs, operator_of_package):
    """What the operator asked for and took while a run of many units went from its beginning to its report."""
    # The first resync comes minutes after the start: it grows with all that other tests have left, not with this run.
    operator_of_package.renew()
    before = operator_of_package.settle()
    spec = {"tasks": 50, "domains": ["retail"], "trials": 100, "shards": SHARDS, "concurrencyPerShard": 64}
    runs.start("many", "forced", **spec)
    status = runs.until_over("many", seconds=400)
    asked = operator_of_package.counters() - before
    assert status["done"] == f"{UNITS}/{UNITS}"
    return asked, operator_of_package.peak_mib()


def requests(asked, what):
    """Return the counters of one kind of request."""
    return {name: count for name, count in asked.items() if what in name}


def test_requests_to_the_api_server_grow_with_shards(measured):
    asked = requests(measured[0], "api_requests")
    assert sum(asked.values()) <= API_REQUESTS, asked


def test_requests_to_storage_are_few(measured):
    asked = requests(measured[0], "storage_requests")
    assert 0 < sum(asked.values()) <= STORAGE_REQUESTS, asked


def test_the_operator_needs_little_memory(measured):
    assert measured[1] < MEMORY_MIB


def test_shards_open_few_files(runs, measured):
    with runs.cluster.bucket() as bucket:
        objects = read_run(bucket, runs.status("many"), "progress/")
    opened = [json.loads(body)["openFiles"] for body in objects.values()]
    assert len(opened) == SHARDS
    assert 0 < max(opened) <= OPEN_FILES


def test_every_unit_has_one_result(runs, measured):
    folder = folder_of(runs.status("many"))
    with runs.cluster.bucket() as bucket:
        keys = [entry["path"] for page in bucket.list(f"{folder}/results/") for entry in page]
    assert len(keys) == len(set(keys)) == UNITS


def test_its_report_is_written(runs, measured):
    status = runs.until("many", lambda s: condition(s, "ReportReady"))
    assert condition(status, "ResultsSuspect"), "its agent never calls a tool"
