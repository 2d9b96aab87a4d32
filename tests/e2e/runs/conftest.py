"""One namespace with a few pools of the mock, for all tests of runs: each pool is started once."""

import pytest
from cluster_runs import TOOLS, Runs, pool
from operator_pods import Operator

REMOVE = pytest.StashKey()
FLOODED = "control/retail/3/0"
"""The unit whose answers are more than a shard has memory for."""
# Some calls fail and some are never answered; who is patient gets all units all the same.
SHAKY = {"MOCK_LATENCY_MS": 100, "MOCK_ERROR_PERCENT": 5, "MOCK_HANG_PERCENT": 1}
# Slow enough that a run of 30 units is under way for some ten seconds, fast enough for a test.
SLOW = {"MOCK_LATENCY_MS": 250}
UNTRIED = {"toolCalling": "Off"}
POOLS = (
    pool("slow", "mock/skill-70", SLOW, toolCalling=TOOLS),
    pool("shaky", "mock/skill-70", SHAKY, toolCalling=TOOLS),
    pool("user", "mock/user"),
    pool("silent", "mock/silent", toolCalling=TOOLS),
    # Its tool calls are not tried before a run may use it.
    pool("forced", "mock/silent", toolCalling=TOOLS, preflight=UNTRIED),
    # No call of a run is ever answered, and the server does not look stuck; of its preflight only the first is lost.
    pool(
        "never", "mock/oracle", {"MOCK_HANG_PERCENT": 100}, toolCalling=TOOLS, preflight=UNTRIED | {"timeoutSeconds": 5}
    ),
    pool("flooding", "mock/skill-70", {"MOCK_FLOOD_UNIT": FLOODED, "MOCK_FLOOD_MIB": 48}, toolCalling=TOOLS),
)
SHAKEN = {"tasks": 50, "trials": 2, "shards": 6, "concurrencyPerShard": 8, "deadlines": {"callSeconds": 5}}
"""300 units that take a while, with a patience that a hanging call does not exhaust."""


def pytest_runtest_teardown(item, nextitem):
    """Remove the namespace after this folder's last test: what its fixtures made would stay to the session's end."""
    if nextitem is None or nextitem.path.parent != item.path.parent:
        item.config.stash.get(REMOVE, list)()


@pytest.fixture(scope="package")
def namespace(cluster, release, _namespaces, request):
    """A namespace for all tests of runs."""
    name = cluster.make_namespace("runs")
    _namespaces.append(name)

    def remove():
        del request.config.stash[REMOVE]
        # A Job that may make no more pods keeps the finalizers of those that failed, and with them the namespace.
        cluster.kubectl("delete", "evalruns", "--all", namespace=name)
        cluster.kubectl("delete", "namespace", name, "--wait=false")

    request.config.stash[REMOVE] = remove
    yield name
    request.config.stash.get(REMOVE, list)()


@pytest.fixture(scope="package")
def runs(cluster, namespace, client):
    """The runs of the namespace, with pools that serve."""
    made = Runs(cluster, namespace, client)
    made.apply(*POOLS)
    made.until_ready("slow", "shaky", "user", "forced", "flooding")
    return made


@pytest.fixture(scope="package")
def operator_of_package(cluster, release):
    """The operator, as it is."""
    return Operator(cluster)


@pytest.fixture
def operator(operator_of_package):
    """The operator, which soon comes back when it is killed; one of it afterwards."""
    found = operator_of_package
    found.refresh()
    yield found
    found.scale(1)


@pytest.fixture
def operator_without_election(operator):
    """The operator as it was before it knew elections; afterwards as the chart has it."""
    operator.elect("false")
    yield operator
    operator.scale(1)
    operator.elect("true")


@pytest.fixture(scope="package")
def shaken(runs):
    """A run of 300 units over a server that fails some calls and leaves others without an answer: status, objects."""
    runs.start("shaken", "shaky", **SHAKEN)
    return runs.until_over("shaken"), runs.stored("shaken")


@pytest.fixture(scope="package")
def poisoned_name(runs):
    """The name of a run with a unit that no pod survives; others go on while it takes its time."""
    limits = {"retry": {"infra": 3, "quarantineAfter": 2}, "acceptance": {"minCoverage": 100}}
    runs.start("poisoned", "flooding", **SHAKEN | limits)
    return "poisoned"


@pytest.fixture(scope="package")
def flooded():
    """The key of the unit that no worker survives on the pool flooding."""
    return FLOODED


@pytest.fixture(scope="package")
def shaken_spec():
    """The spec of that run, without its pools."""
    return SHAKEN
