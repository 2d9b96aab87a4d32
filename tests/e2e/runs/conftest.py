"""One namespace with a few pools of the mock, for all tests of runs: each pool is started once."""

import pytest
from cluster_runs import TOOLS, Runs, pool
from operator_pods import Operator

# Some calls fail and some are never answered; who is patient gets all units all the same.
SHAKY = {"MOCK_LATENCY_MS": 100, "MOCK_ERROR_PERCENT": 5, "MOCK_HANG_PERCENT": 1}
# Slow enough that a run of 30 units is under way for some ten seconds, fast enough for a test.
SLOW = {"MOCK_LATENCY_MS": 250}
POOLS = (
    pool("slow", "mock/skill-70", SLOW, toolCalling=TOOLS),
    pool("shaky", "mock/skill-70", SHAKY, toolCalling=TOOLS),
    pool("user", "mock/user"),
    pool("silent", "mock/silent", toolCalling=TOOLS),
    # Its tool calls are not tried before a run may use it.
    pool("forced", "mock/silent", toolCalling=TOOLS, preflight={"toolCalling": "Off"}),
)


@pytest.fixture(scope="package")
def namespace(cluster, release, _namespaces):
    """A namespace for all tests of runs."""
    name = cluster.make_namespace("runs")
    _namespaces.append(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="package")
def runs(cluster, namespace, client):
    """The runs of the namespace, with pools that serve."""
    made = Runs(cluster, namespace, client)
    made.apply(*POOLS)
    made.until_ready("slow", "shaky", "user", "forced")
    return made


@pytest.fixture
def operator(cluster, release):
    """The operator, never killed before; one of it afterwards."""
    found = Operator(cluster)
    found.refresh()
    yield found
    found.scale(1)
