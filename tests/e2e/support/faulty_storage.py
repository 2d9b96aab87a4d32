"""Storage that fails when it is told to: the tests' proxy in front of the release's S3 server, and a Secret for it."""

from pathlib import Path

import httpx
from kind_cluster import RELEASE_NAMESPACE, S3

NAME = "faulty-s3"
"""Of everything that belongs to it, its Secret included."""
PORT = 7071
PROGRAM = Path(__file__).resolve().parents[1] / "storage_proxy.py"
OUTPUT = {"uri": "s3://evals/runs", "secretRef": {"name": NAME}}
"""spec.output of a run whose storage it is."""


class FaultyStorage:
    """One proxy in a namespace."""

    def __init__(self, cluster, namespace):
        self._cluster, self._namespace = cluster, namespace

    def start(self):
        """Make it, and wait until it serves."""
        keys = self._cluster.read_secret(S3, RELEASE_NAMESPACE)
        upstream = keys["AWS_ENDPOINT_URL"]
        keys["AWS_ENDPOINT_URL"] = f"http://{NAME}.{self._namespace}.svc:{PORT}"
        items = _objects(upstream, keys)
        self._cluster.apply({"apiVersion": "v1", "kind": "List", "items": items}, namespace=self._namespace)
        self._cluster.wait(f"pod/{NAME}", "condition=Ready", namespace=self._namespace)

    def order(self, **faults):
        """Let it fail from now on as storage_proxy.Faults.order says; return what it tells."""
        return self._ask("POST", faults)

    def told(self):
        """Return what goes wrong now, for how long, and how many requests it has hit."""
        return self._ask("GET", None)

    def _ask(self, method, body):
        with self._cluster.forward(f"pod/{NAME}", PORT, namespace=self._namespace) as port:
            address = f"http://127.0.0.1:{port}/-/faults"
            with httpx.Client(trust_env=False) as client:
                answer = client.request(method, address, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


def _objects(upstream, keys):
    metadata = {"name": NAME, "labels": {"app": NAME}}
    container = {
        "name": "proxy",
        "image": "toolorch/mock-vllm:dev",
        "command": ["python3", "/program/storage_proxy.py", upstream, str(PORT)],
        "readinessProbe": {"httpGet": {"path": "/-/faults", "port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "program", "mountPath": "/program"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pod = {"containers": [container], "volumes": [{"name": "program", "configMap": {"name": NAME}}]}
    service = {"selector": {"app": NAME}, "ports": [{"port": PORT}]}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"storage_proxy.py": PROGRAM.read_text()},
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]
