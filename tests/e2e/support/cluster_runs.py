"""EvalRuns of one namespace: made, followed, disturbed, and read from storage when they have ended."""

import json

from kind_cluster import PATIENCE, RELEASE_NAMESPACE
from patience import until
from stored_run import StoredRun, count_results, read_run

API = "apis/toolorch.dev/v1alpha1"
PATHS = {"evalruns": API, "modelpools": API, "jobs": "apis/batch/v1", "pods": "api/v1", "configmaps": "api/v1"}
IMAGE = "toolorch/mock-vllm:dev"
DOMAINS = ["retail", "airline", "telecom"]
TOOLS = {"parser": "hermes"}
TERMINAL = ("Complete", "Failed")


def pool(name, model, env=None, **spec):
    """Return a ModelPool that needs no GPU and waits for no start slot."""
    base = {
        "model": model,
        "servedModelName": name,
        "image": IMAGE,
        "resources": {"gpuResource": "", "cpu": "50m", "memory": "256Mi", "sharedMemory": "64Mi"},
        "startup": {"maxConcurrentPerNode": 16, "settleSeconds": 0},
        "env": [{"name": k, "value": str(v)} for k, v in (env or {}).items()],
    }
    document = {"apiVersion": "toolorch.dev/v1alpha1", "kind": "ModelPool", "metadata": {"name": name}}
    return {**document, "spec": {**base, **spec}}


def run(name, agent, *, tasks=10, domains=DOMAINS, **spec):
    """Return an EvalRun over the first tasks of some domains."""
    base = {
        "benchmark": {"name": "tau2", "domains": domains, "numTasks": tasks},
        "roles": {"agent": {"pool": agent}, "user": {"pool": "user"}},
        "shards": 3,
        "concurrencyPerShard": 4,
    }
    document = {"apiVersion": "toolorch.dev/v1alpha1", "kind": "EvalRun", "metadata": {"name": name}}
    return {**document, "spec": {**base, **spec}}


class Runs:
    """The runs of a namespace, and their pools."""

    def __init__(self, cluster, namespace, client, storage=RELEASE_NAMESPACE):
        """`storage` is the namespace of the S3 server that has their results."""
        self.cluster, self.namespace, self._client, self._storage = cluster, namespace, client, storage

    def look(self, kind, name="", **query):
        """Return an object, or all of a kind; to start kubectl for each look would take the pods' own time."""
        path = f"{PATHS[kind]}/namespaces/{self.namespace}/{kind}/{name}".rstrip("/")
        answer = self._client.get(path, params=query)
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if name else answer.json()["items"]

    def apply(self, *documents):
        """Apply all documents with one call."""
        self.cluster.apply({"apiVersion": "v1", "kind": "List", "items": documents}, namespace=self.namespace)

    def start(self, name, agent, **spec):
        """Make a run."""
        self.apply(run(name, agent, **spec))

    def patch(self, name, change, kind="evalrun"):
        """Merge a change into an object."""
        flags = ("--type=merge", "-p", json.dumps(change))
        self.cluster.kubectl("patch", kind, name, *flags, namespace=self.namespace)

    def status(self, name, kind="evalruns"):
        """Return an object's status, empty where it has none."""
        return self.look(kind, name).get("status", {})

    def until(self, name, is_it, seconds=PATIENCE):
        """Wait until a run's status is such, and return it."""
        return until(lambda: self.status(name), is_it, seconds=seconds)

    def until_ready(self, *pools):
        """Wait until pools serve."""
        for name in pools:
            until(lambda name=name: self.status(name, "modelpools"), lambda s: condition(s, "Ready"), seconds=PATIENCE)

    def until_done(self, name, count, seconds=PATIENCE):
        """Wait until so many units have their results; the run must not be over by then.

        Storage is asked: what status says of a run under way may be seconds old.
        """
        status = self.until(name, lambda s: s.get("attempt"), seconds)
        with self.cluster.bucket(namespace=self._storage) as bucket:
            done = until(lambda: count_results(bucket, status), lambda n: n >= count, seconds=seconds)
        assert done < status["units"]["total"], "it was over before it could be disturbed"

    def until_over(self, name, expected="Complete", seconds=PATIENCE):
        """Wait until a run is Complete or Failed, whichever is expected, and return its status."""
        status = self.until(name, lambda s: any(condition(s, end) for end in TERMINAL), seconds)
        assert condition(status, expected), json.dumps(status, indent=1)
        return status

    def pods(self, name, step="shard"):
        """Return the pods of a run's step."""
        return self.look(
            "pods", labelSelector=f"toolorch.dev/kind=EvalRun,toolorch.dev/name={name},toolorch.dev/step={step}"
        )

    def jobs(self, name):
        """Return the names of a run's Jobs."""
        found = self.look("jobs", labelSelector=f"toolorch.dev/name={name},toolorch.dev/kind=EvalRun")
        return sorted(job["metadata"]["name"] for job in found)

    def events(self, name, reason):
        """Return the messages of a run's Events with a reason."""
        found = self.cluster.get("events.events.k8s.io", namespace=self.namespace)
        about = [e for e in found if e["reason"] == reason and e["regarding"]["kind"] == "EvalRun"]
        return [e["note"] for e in about if e["regarding"]["name"] == name]

    def stored(self, name, prefix=""):
        """Read what a run has left in storage."""
        with self.cluster.bucket(namespace=self._storage) as bucket:
            return StoredRun(read_run(bucket, self.status(name), prefix))


def condition(status, type_, truth="True"):
    """Return the condition of a type where it has this truth, else None."""
    found = [c for c in status.get("conditions", []) if c["type"] == type_ and c["status"] == truth]
    return found[0] if found else None
