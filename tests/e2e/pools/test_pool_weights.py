"""A cache that pools share, on a real cluster: its model is fetched once, before the servers, and a failure is told."""

import secrets
import subprocess

import pytest

pytestmark = pytest.mark.cluster

OFFLINE = {"name": "HF_HUB_OFFLINE", "value": "1"}
SHARED = ("one", "two")
GIB = 4 * 32 / 1024
"""What the command in values.yaml writes."""


@pytest.fixture(scope="module")
def cache(pools):
    """A claim on a folder of one node, and the selector of that node."""
    node = pools.cluster.get("nodes", selector="!node-role.kubernetes.io/control-plane")[0]["metadata"]["name"]
    name = f"e2e-weights-{secrets.token_hex(2)}"
    folder = f"/var/tmp/{name}"
    on_node(node, "mkdir", "-m", "777", folder)
    pools.apply(*volume(name, folder, node))
    yield {
        "cache": {"persistentVolumeClaim": name},
        "placement": {"nodeSelector": {"kubernetes.io/hostname": node}},
    }
    pools.cluster.kubectl("delete", "mpl", "--all", "--cascade=foreground", namespace=pools.namespace)
    pools.cluster.kubectl("delete", "pvc", name, namespace=pools.namespace)
    pools.cluster.kubectl("delete", "pv", name)
    on_node(node, "rm", "-rf", folder)


def on_node(node, *command):
    subprocess.run(["docker", "exec", node, *command], check=True, capture_output=True)


def volume(name, folder, node):
    """Return a PersistentVolume on a node's folder, and the claim on it."""
    size, modes = {"storage": "1Gi"}, ["ReadWriteMany"]
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    spec = {
        "capacity": size,
        "accessModes": modes,
        "storageClassName": "",
        "hostPath": {"path": folder, "type": "Directory"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
    }
    wish = {"accessModes": modes, "storageClassName": "", "volumeName": name, "resources": {"requests": size}}
    metadata = {"name": name}
    return (
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": wish},
    )


@pytest.fixture(scope="module", autouse=True)
def _pools(pools, cache):
    pools.apply(*(pools.make(name, **cache) for name in SHARED), pools.make("absent", "mock/skill-0", **cache))


def test_a_fetch_that_fails_is_told_with_its_cause(pools):
    status = pools.until_reason("absent", "FetchingModel")
    job = status["fetch"]["job"]
    cause = "404: there is no model mock/skill-0"
    # The first failure tells all; three more with pauses in between would only take their time.
    pools.look(
        lambda: pools.condition("absent", "Ready")["message"],
        lambda words: f"try again to fetch the model: {cause}" in words,
    )
    pools.patch(job, {"spec": {"backoffLimit": 0}}, "job")
    status = pools.until_reason("absent", "FetchFailed")
    assert status["fetch"]["state"] == "Failed"
    ready = pools.condition("absent", "Ready")
    assert f"could not fetch the model: {cause}" in ready["message"]
    assert "correct the spec, or delete the Job to try again" in ready["message"]
    assert pools.condition("absent", "Stalled")["reason"] == "FetchFailed"
    assert len(pools.events("absent", "FetchFailed")) == 1
    assert pools.pods("absent") == [], "no server starts without its model"


def test_progress_is_told_and_no_server_starts_before_the_end(pools):
    seen = []

    def look():
        statuses = [pools.status(name) for name in SHARED]
        told = [s for s in statuses if "fetch" in s]
        seen.extend((s["fetch"]["state"], s["fetch"].get("doneGiB"), s["readyReplicas"]) for s in told)
        return [s.get("ready") for s in statuses]

    pools.look(look, lambda ready: ready == ["1/1", "1/1"])
    amounts = {float(done) for state, done, _ in seen if state == "Running" and done}
    assert amounts, f"progress was never told: {seen}"
    assert max(amounts) <= GIB
    assert {ready for state, _, ready in seen if state == "Running"} <= {0}
    (job,) = {pools.status(name)["fetch"]["job"] for name in SHARED}
    ended = pools.status(job, "job")["completionTime"]
    for name in SHARED:
        fetch = pools.status(name)["fetch"]
        assert (fetch["state"], float(fetch["doneGiB"])) == ("Done", pytest.approx(GIB, rel=0.1))
        assert pools.pods(name)[0]["metadata"]["creationTimestamp"] >= ended


def test_pools_that_share_model_and_cache_share_one_fetch(pools):
    for name in SHARED:
        pools.until_ready(name)
    jobs = pools.cluster.get("jobs", namespace=pools.namespace)
    assert sorted(j["metadata"]["labels"]["toolorch.dev/name"] for j in jobs) == ["absent", "one"]


def test_servers_ask_no_hub_for_what_was_fetched(pools):
    for name in SHARED:
        pools.until_ready(name)
        (pod,) = pools.pods(name)
        assert OFFLINE in pod["spec"]["containers"][0]["env"]
    program = "import glob, os; assert len(glob.glob(os.environ['HF_HOME'] + '/hub/models--mock--idle/blobs/*')) == 4"
    pools.in_pod(pod["metadata"]["name"], program)
