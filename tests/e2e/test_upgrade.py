"""Upgrade, rollback, uninstall and reinstall in the middle of runs: nothing is lost, and nothing is started again."""

import json

import pytest
from cluster_runs import TOOLS, Runs, condition, pool
from kind_cluster import CHART, PATIENCE, RELEASE, RELEASE_NAMESPACE, S3
from operator_pods import Operator
from patience import until
from previous_version import TAG, PreviousVersion, find_previous
from standing import assert_kept, children, image_tags, servers, shards

pytestmark = pytest.mark.cluster

DOMAINS = 3
# Three minutes, were it not quickened after the upgrade; the others are under way for some forty and fifteen seconds.
SLOWEST = {"tasks": 40, "shards": 2, "concurrencyPerShard": 1}
LONG, SHORT = {"tasks": 20, "concurrencyPerShard": 2}, {"tasks": 16, "concurrencyPerShard": 4}
QUICKENED = {"shards": 5, "concurrencyPerShard": 8}
UNINSTALL_SECONDS = 60
CRDS = ("evalruns.toolorch.dev", "modelpools.toolorch.dev")
# Their storage outlives the release, as it does where it is not the demo's.
OWN_STORAGE = ("--set", "s3.enabled=false")
SLOW = {"MOCK_LATENCY_MS": 250}
POOLS = (pool("slow", "mock/skill-70", SLOW, toolCalling=TOOLS), pool("user", "mock/user"))
NEWER = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/ofTheNextVersion"


@pytest.fixture(scope="module")
def forsaken(cluster, namespace, _namespaces):
    """Another namespace, which nobody will need; its storage is that of the first."""
    name = cluster.make_namespace("forsaken")
    _namespaces.append(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture(scope="module")
def installed(cluster, release):
    """The previous version, for now; afterwards the present one as it was."""
    PreviousVersion(cluster, find_previous()).install(*OWN_STORAGE)
    yield
    cluster.install()


@pytest.fixture(scope="module")
def runs(cluster, namespace, forsaken, installed, client):
    """The runs of the namespace, with pools that serve since before the upgrade and storage of their own."""
    chosen = ("--namespace", namespace, "--show-only", "templates/s3.yaml", "--set", "s3.enabled=true")
    cluster.apply(cluster.helm("template", RELEASE, CHART, *chosen), namespace=namespace)
    keys = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": S3}}
    keys["data"] = cluster.get("secret", S3, namespace=namespace)["data"]
    others = Runs(cluster, forsaken, client, storage=namespace)
    others.apply(keys, *POOLS)
    made = Runs(cluster, namespace, client, storage=namespace)
    made.apply(*POOLS, pool("spare", "mock/idle"))
    made.until_ready("slow", "user", "spare")
    others.until_ready("slow", "user")
    made.others = others
    cluster.wait(f"deployment/{S3}", "condition=Available", namespace=namespace)
    return made


@pytest.fixture(scope="module")
def operator(cluster):
    """The operator, whichever version it has."""
    return Operator(cluster)


@pytest.fixture(scope="module")
def upgraded(cluster, runs):
    """A run under the previous version that was upgraded in its middle: shards and servers from before."""
    before = begin(runs, "upgraded", **SLOWEST), servers(runs)
    cluster.install(*OWN_STORAGE)
    return before


def begin(runs, name, **spec):
    """Start a run, and return its shards' pods as soon as it is under way."""
    runs.start(name, "slow", **spec)
    runs.until_done(name, 3)
    return shards(runs, name)


def assert_whole(runs, name, tasks):
    """Assert that a run ended with each unit done once, in one attempt."""
    status = runs.until_over(name)
    units = DOMAINS * tasks
    assert (status["done"], status["attempt"]) == (f"{units}/{units}", 1)
    stored = runs.stored(name)
    stored.assert_whole()
    assert stored.assignments == {1: list(range(units))}
    assert len(runs.events(name, "RunComplete")) == 1


def test_an_upgrade_in_the_middle_of_a_run_starts_neither_shards_nor_servers_again(runs, operator, upgraded):
    pods, served = upgraded
    until(lambda: image_tags(operator.pods()), lambda tags: tags == {"dev"}, seconds=PATIENCE)
    told = runs.status("upgraded")["units"]["done"]
    runs.until("upgraded", lambda s: s["units"]["done"] > told)
    assert shards(runs, "upgraded") == pods
    assert_kept(served, servers(runs), "slow", "user")
    assert operator.restarts() == 0


def test_fields_that_only_newer_crds_know_are_borne(cluster, runs, upgraded):
    add = [{"op": "add", "path": NEWER, "value": {"type": "string", "default": "on"}}]
    for crd in CRDS:
        cluster.kubectl("patch", "crd", crd, "--type=json", "-p", json.dumps(add))
    try:
        for kind, name in (("evalruns", "upgraded"), ("modelpools", "spare")):
            until(lambda k=kind, n=name: runs.look(k, n)["spec"].get("ofTheNextVersion"), seconds=PATIENCE)
        runs.patch("upgraded", {"spec": QUICKENED})
        runs.patch("spare", {"spec": {"idleAfterSeconds": 7200}}, "modelpool")
        for kind, name in (("evalruns", "upgraded"), ("modelpools", "spare")):
            status = until(
                lambda k=kind, n=name: runs.status(n, k), lambda s: s["observedGeneration"] == 2, seconds=PATIENCE
            )
            assert not condition(status, "Stalled"), "a field of the next version is no mistake of the user's"
    finally:
        remove = [{"op": "remove", "path": NEWER}]
        for crd in CRDS:
            cluster.kubectl("patch", "crd", crd, "--type=json", "-p", json.dumps(remove))


def test_a_shard_that_dies_is_replaced_as_it_was_and_the_run_ends_whole_with_a_report_of_the_new_version(
    cluster, runs, upgraded
):
    pod = next(p for p in runs.pods("upgraded") if p["status"]["phase"] == "Running")
    cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", namespace=runs.namespace)
    assert_whole(runs, "upgraded", SLOWEST["tasks"])
    assert image_tags(runs.pods("upgraded")) == {TAG}
    runs.until("upgraded", lambda s: condition(s, "ReportReady"))
    assert image_tags(runs.pods("upgraded", "report")) == {"dev"}
    assert runs.jobs("upgraded") == ["upgraded-a1", "upgraded-plan", "upgraded-report"]


def test_the_way_back_in_the_middle_of_a_run_starts_nothing_again(cluster, runs, operator, upgraded):
    pods, served = begin(runs, "returned", **SHORT), servers(runs)
    cluster.helm("rollback", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait", "--timeout", f"{PATIENCE}s")
    until(lambda: image_tags(operator.pods()), lambda tags: tags == {TAG}, seconds=PATIENCE)
    assert_whole(runs, "returned", SHORT["tasks"])
    assert shards(runs, "returned") == pods
    assert image_tags(runs.pods("returned")) == {"dev"}
    assert_kept(served, servers(runs))
    assert operator.restarts() == 0


@pytest.fixture(scope="module")
def orphaned(cluster, runs, operator, upgraded):
    """A run under way whose operator was uninstalled: its shards and the servers from before."""
    runs.others.start("dropped", "slow", **SHORT)
    before = begin(runs, "orphaned", **LONG), servers(runs)
    runs.others.until("dropped", lambda s: s.get("attempt"))
    done = cluster.call(
        "helm", "uninstall", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait", timeout=UNINSTALL_SECONDS
    )
    assert done.returncode == 0, done.stderr
    until(operator.pods, lambda pods: pods == [], seconds=PATIENCE)
    return before


def test_an_uninstall_leaves_crds_runs_results_and_servers_where_they_are(cluster, runs, orphaned):
    pods, served = orphaned
    assert not cluster.is_installed()
    for crd in CRDS:
        cluster.get("crd", crd)
    assert (shards(runs, "orphaned"), servers(runs)) == (pods, served)
    runs.stored("returned").assert_whole()
    told = runs.status("orphaned")["units"]["done"]
    until(lambda: len(runs.stored("orphaned", "results/").results), lambda n: n > told, seconds=PATIENCE)


def test_without_an_operator_a_run_a_pool_and_their_namespace_are_deleted_with_all_that_they_made(
    cluster, runs, orphaned, forsaken
):
    for kind, name in (("evalrun", "dropped"), ("modelpool", "user"), ("modelpool", "slow")):
        assert children(runs.others, name)
        cluster.kubectl("delete", kind, name, f"--timeout={UNINSTALL_SECONDS}s", namespace=forsaken)
    for name in ("dropped", "user", "slow"):
        until(lambda name=name: children(runs.others, name), lambda found: found == [], seconds=PATIENCE)
    cluster.kubectl("delete", "namespace", forsaken, f"--timeout={PATIENCE}s")


def test_a_reinstall_takes_the_run_to_its_end_and_runs_no_finished_unit_again(cluster, runs, orphaned):
    pods, served = orphaned
    seen = runs.status("orphaned")["units"]["done"]
    before = runs.stored("orphaned", "results/").results
    assert seen < DOMAINS * LONG["tasks"], "the operator had seen its end: the test tests nothing"
    cluster.install(*OWN_STORAGE)
    assert_whole(runs, "orphaned", LONG["tasks"])
    assert shards(runs, "orphaned") == pods
    after = runs.stored("orphaned", "results/").results
    assert {key: after[key] for key in before} == before
    runs.until("orphaned", lambda s: condition(s, "ReportReady"))
    assert_kept(served, servers(runs))
