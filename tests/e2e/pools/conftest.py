"""Pools of the mock model server on the cluster: made all at once, then waited for and looked at."""

import json
from datetime import datetime
from functools import partial

import patience
import pytest

IMAGE = "toolorch/mock-vllm:dev"
PATHS = {
    "modelpool": ("apis/toolorch.dev/v1alpha1", "modelpools"),
    "evalrun": ("apis/toolorch.dev/v1alpha1", "evalruns"),
    "job": ("apis/batch/v1", "jobs"),
    "pod": ("api/v1", "pods"),
    "configmap": ("api/v1", "configmaps"),
}
PATIENCE = 120
"""Seconds for anything that a pool does: the cluster shares two cores with all others."""
until = partial(patience.until, seconds=PATIENCE)


def pool(name, model="mock/idle", **spec):
    """Return a ModelPool that is cheap, needs no GPU, and waits for no start slot."""
    base = {
        "model": model,
        "servedModelName": name,
        "image": IMAGE,
        "resources": {"gpuResource": "", "cpu": "20m", "memory": "256Mi", "sharedMemory": "64Mi"},
        "startup": {"maxConcurrentPerNode": 16, "settleSeconds": 0},
    }
    env = [{"name": k, "value": str(v)} for k, v in spec.pop("env", {}).items()]
    merged = {k: {**base[k], **v} if isinstance(base.get(k), dict) else v for k, v in spec.items()}
    document = {"apiVersion": "toolorch.dev/v1alpha1", "kind": "ModelPool", "metadata": {"name": name}}
    return {**document, "spec": {**base, **merged, "env": env}}


def run(name, agent, user, **spec):
    """Return an EvalRun of one unit."""
    roles = {"agent": {"pool": agent}, "user": {"pool": user}}
    benchmark = {"name": "tau2", "domains": ["retail"], "numTasks": 1}
    document = {"apiVersion": "toolorch.dev/v1alpha1", "kind": "EvalRun", "metadata": {"name": name}}
    return {**document, "spec": {"benchmark": benchmark, "roles": roles, "shards": 1, **spec}}


def seconds(since, until):
    """Return the seconds from one time of the API server to another."""
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


class Pools:
    """The pools of one namespace."""

    make, run, look = staticmethod(pool), staticmethod(run), staticmethod(until)
    seconds = staticmethod(seconds)

    def __init__(self, cluster, namespace, client):
        self.cluster, self.namespace, self._client = cluster, namespace, client

    def _get(self, kind, name="", **query):
        """Return an object, or all of a kind; to start kubectl for each look would take the servers' own time."""
        group, plural = PATHS[kind]
        answer = self._client.get(f"{group}/namespaces/{self.namespace}/{plural}/{name}".rstrip("/"), params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def apply(self, *documents):
        """Apply all documents with one call."""
        self.cluster.apply({"apiVersion": "v1", "kind": "List", "items": documents}, namespace=self.namespace)

    def patch(self, name, change, kind="modelpool"):
        """Merge a change into an object."""
        flags = ("--type=merge", "-p", json.dumps(change))
        self.cluster.kubectl("patch", kind, name, *flags, namespace=self.namespace)

    def scale(self, name, replicas):
        """Scale a pool as a user would."""
        self.cluster.kubectl("scale", f"mpl/{name}", f"--replicas={replicas}", namespace=self.namespace)

    def status(self, name, kind="modelpool"):
        """Return an object's status."""
        return self._get(kind, name).get("status", {})

    def until(self, name, is_it, seconds=PATIENCE):
        """Wait until a pool's status is such, and return it."""
        return until(lambda: self.status(name), is_it, seconds=seconds)

    def until_reason(self, name, reason, seconds=PATIENCE):
        """Wait until the REASON column shows a reason, and return the status."""
        return self.until(name, lambda s: s.get("reason") == reason, seconds)

    def until_ready(self, name, count=1, seconds=PATIENCE):
        """Wait until the READY column shows all of a number of replicas, and return the status."""
        return self.until(name, lambda s: s.get("ready") == f"{count}/{count}", seconds)

    def condition(self, name, type_):
        """Return one condition of a pool."""
        return next(c for c in self.status(name)["conditions"] if c["type"] == type_)

    def events(self, name, reason, kind="ModelPool"):
        """Return the messages of an object's Events with a reason."""
        found = self.cluster.get("events.events.k8s.io", namespace=self.namespace)
        about = [e for e in found if e["reason"] == reason and e["regarding"]["kind"] == kind]
        return [e["note"] for e in about if e["regarding"]["name"] == name]

    def pods(self, name):
        """Return the pods of a pool's servers."""
        return self._get("pod", labelSelector=f"toolorch.dev/kind=ModelPool,toolorch.dev/name={name}")["items"]

    def endpoints(self, name):
        """Return what runs are told of a pool's servers."""
        return json.loads(self._get("configmap", f"{name}-endpoints")["data"]["endpoints.json"])["endpoints"]

    def children(self, name):
        """Return kind and name of everything that a pool has made."""
        kinds = "deployments,replicasets,pods,services,configmaps,jobs"
        found = self.cluster.get(kinds, namespace=self.namespace, selector=f"toolorch.dev/name={name}")
        return sorted((i["kind"], i["metadata"]["name"]) for i in found)

    def in_pod(self, pod, program):
        """Run a Python program in a pod's server container."""
        self.cluster.kubectl("exec", pod, "-c", "server", "--", "python3", "-c", program, namespace=self.namespace)

    def watching(self, what, path, selector=""):
        """Collect (seconds of time.monotonic, text of a JSONPath) for each change, while the block runs."""
        return self.cluster.watching(what, path, namespace=self.namespace, selector=selector)


@pytest.fixture(scope="module")
def pools(cluster, namespace, client):
    """The pools of this module's namespace."""
    return Pools(cluster, namespace, client)
