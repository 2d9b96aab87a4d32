"""What dies is replaced, what is stored is not run again: operator killed, pods and Jobs deleted, servers failing."""

import json
import random
import subprocess
import time
from pathlib import Path

import pytest
import yaml
import zstandard

from toolorch_api.unit import Unit

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
UNITS = 30
# Slow enough that a run of 30 units is under way for some ten seconds, fast enough for a test.
SLOW = [{"name": "MOCK_LATENCY_MS", "value": "250"}]


@pytest.fixture(scope="module")
def pools(cluster, namespace, merge_patch):
    """The example's pools, slowed down and without memory crashes."""
    for pool in yaml.safe_load_all((EXAMPLES / "pools.yaml").read_text()):
        cluster.apply(merge_patch(pool, {"spec": {"env": SLOW, "gpuMemoryUtilization": 80}}), namespace=namespace)
    cluster.wait("modelpool/orchestrator", "condition=Ready", namespace=namespace)
    cluster.wait("modelpool/user-sim", "condition=Ready", namespace=namespace)
    return namespace


def start(cluster, namespace, merge_patch, name, change=None):
    run = yaml.safe_load((EXAMPLES / "evalrun.yaml").read_text())
    cluster.apply(merge_patch(run, {"metadata": {"name": name}, **(change or {})}), namespace=namespace)


def wait_for_units(cluster, namespace, name, count, seconds=120):
    """Wait until some units are done, and return the status; the run must not be over by then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = cluster.get("evalrun", name, namespace=namespace).get("status", {})
        if status.get("units", {}).get("done", 0) >= count:
            assert status["units"]["done"] < UNITS, "the run was over before it could be disturbed"
            return status
        time.sleep(0.3)
    raise AssertionError(f"{name} has not done {count} units: {status}")


class Stored:
    """What a run left in storage."""

    def __init__(self, cluster, namespace, name):
        folder = cluster.get("evalrun", name, namespace=namespace)["status"]["results"].removeprefix("s3://evals/")
        self.results, self.calls, self.assignments, self.manifest = {}, [], {}, []
        with cluster.bucket() as bucket:
            for path in [entry["path"] for page in bucket.list(folder) for entry in page]:
                self._take(path.removeprefix(f"{folder}/"), lambda p=path: bytes(bucket.get(p).bytes()))

    def _take(self, key, read):
        if key.startswith("results/"):
            self.results[key.removeprefix("results/").removesuffix(".json")] = json.loads(read())
        elif key.endswith("events.jsonl.zst"):
            raw = zstandard.ZstdDecompressor().stream_reader(read()).read()
            self.calls += [json.loads(line) for line in raw.splitlines()]
        elif key.endswith("assignment.json"):
            assignment = json.loads(read())
            self.assignments[assignment["attempt"]] = sorted(i for shard in assignment["shards"] for i in shard)
        elif key == "manifest.json":
            self.manifest = json.loads(read())["units"]

    def late_calls(self):
        """Model calls for a unit that began after its result was stored."""
        return [c for c in self.calls if c["unit"] in self.results and c["at"] > self.results[c["unit"]]["endedAt"]]


def assert_whole(stored):
    assert len(stored.results) == UNITS
    assert {r["status"] for r in stored.results.values()} == {"passed"}
    assert stored.calls, "the shards wrote down their calls"
    assert stored.late_calls() == []


def kill_operator(cluster):
    """SIGKILL the operator's process from its node, by its id."""
    pod = cluster.get("pods", namespace="default", selector="app.kubernetes.io/name=toolorch")
    [pod] = [p for p in pod if p["metadata"]["name"].startswith("toolorch-") and "s3" not in p["metadata"]["name"]]
    state = pod["status"]["containerStatuses"][0]
    if "running" not in state["state"]:
        return False
    container = state["containerID"].removeprefix("containerd://")
    node = ["docker", "exec", pod["spec"]["nodeName"]]
    tasks = subprocess.run([*node, "ctr", "-n", "k8s.io", "tasks", "ls"], capture_output=True, text=True, check=True)
    ids = [line.split()[1] for line in tasks.stdout.splitlines() if line.startswith(container)]
    return bool(ids) and subprocess.run([*node, "kill", "-9", ids[0]], check=False).returncode == 0


def wait_for_operator(cluster):
    cluster.wait("deployment/toolorch", "condition=Available", namespace="default")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_operator_killed_at_a_random_moment_changes_nothing(cluster, pools, merge_patch, seed):
    wait_for_operator(cluster)
    name = f"killed-{seed}"
    start(cluster, pools, merge_patch, name)
    time.sleep(random.Random(seed).uniform(0.5, 12))
    assert kill_operator(cluster), "the operator was running"
    cluster.wait(f"evalrun/{name}", "condition=Complete", namespace=pools)
    stored = Stored(cluster, pools, name)
    assert_whole(stored)
    assert list(stored.assignments) == [1]
    assert cluster.get("evalrun", name, namespace=pools)["status"]["score"] == "1.000"


def test_a_worker_pod_deleted_in_the_middle_is_replaced_and_the_run_is_whole(cluster, pools, merge_patch):
    start(cluster, pools, merge_patch, "lost-pod")
    wait_for_units(cluster, pools, "lost-pod", 3)
    selector = "toolorch.dev/name=lost-pod,toolorch.dev/step=shard"
    pod = next(p for p in cluster.get("pods", namespace=pools, selector=selector) if p["status"]["phase"] == "Running")
    cluster.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", namespace=pools)
    cluster.wait("evalrun/lost-pod", "condition=Complete", namespace=pools)
    assert_whole(Stored(cluster, pools, "lost-pod"))


def test_a_run_follows_its_shards_up_and_down_while_it_goes_on(cluster, pools, merge_patch):
    start(cluster, pools, merge_patch, "resized", {"spec": {"shards": 2, "concurrencyPerShard": 2}})
    for shards, done in ((4, 2), (1, 8)):
        wait_for_units(cluster, pools, "resized", done)
        change = json.dumps({"spec": {"shards": shards}})
        cluster.kubectl("patch", "evalrun", "resized", "--type=merge", "-p", change, namespace=pools)
        cluster.wait("job/resized-a1", f"jsonpath={{.spec.completions}}={shards}", namespace=pools, seconds=30)
    cluster.wait("evalrun/resized", "condition=Complete", namespace=pools)
    assert_whole(Stored(cluster, pools, "resized"))


def test_an_attempts_job_deleted_by_hand_is_made_again_for_what_is_missing(cluster, pools, merge_patch):
    start(cluster, pools, merge_patch, "lost-job")
    wait_for_units(cluster, pools, "lost-job", 3)
    cluster.kubectl("delete", "job", "lost-job-a1", "--cascade=background", "--wait=false", namespace=pools)
    cluster.wait("evalrun/lost-job", "condition=Complete", namespace=pools)
    assert_whole(Stored(cluster, pools, "lost-job"))


def test_a_second_attempt_takes_exactly_the_missing_units(cluster, pools, merge_patch):
    """One call in twenty hangs, the same ones in every run, until the unit's deadline ends it with an infra error."""
    pool = next(yaml.safe_load_all((EXAMPLES / "pools.yaml").read_text()))
    hanging = [{"name": "MOCK_HANG_PERCENT", "value": "5"}]
    change = {"metadata": {"name": "shaky"}, "spec": {"env": hanging, "gpuMemoryUtilization": 80, "replicas": 1}}
    cluster.apply(merge_patch(pool, change), namespace=pools)
    cluster.wait("modelpool/shaky", "condition=Ready", namespace=pools)
    spec = {
        "roles": {"agent": {"pool": "shaky"}, "user": {"pool": "user-sim"}},
        "deadlines": {"callSeconds": 15, "unitSeconds": 15},
        "acceptance": {"minCoverage": 0, "maxInfraErrors": 100},
    }
    start(cluster, pools, merge_patch, "retried", {"spec": spec})
    cluster.wait("evalrun/retried", "condition=Complete", namespace=pools, seconds=400)
    stored = Stored(cluster, pools, "retried")
    assert len(stored.assignments) > 1, "no unit ended with an infra error: the test tests nothing"
    done_in = {index: stored.results.get(unit, {}).get("attempt") for index, unit in enumerate(unit_keys(stored))}
    for attempt, taken in stored.assignments.items():
        missing = [i for i in range(UNITS) if done_in[i] is None or done_in[i] >= attempt]
        assert taken == missing
    assert stored.late_calls() == []


def unit_keys(stored):
    """Keys of the manifest's units, by index."""
    return [Unit(*unit).key for unit in stored.manifest]
