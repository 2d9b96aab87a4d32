"""A server that somebody else runs and that wants a key, on a real cluster: the key stands in its Secret alone."""

import base64
import json
import secrets

import pytest

pytestmark = pytest.mark.cluster

SERVER = "elsewhere"
SERVE = (
    "exec vllm serve mock/oracle --served-model-name gpt --api-key $KEY --enable-auto-tool-choice"
    " --tool-call-parser hermes"
)
SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture(scope="module")
def keys():
    """The key that the server wants, and one that it refuses."""
    return {"right": f"sk-{secrets.token_hex(16)}", "wrong": f"sk-{secrets.token_hex(16)}"}


def server():
    """Return pod and Service of a model server that toolorch knows nothing of."""
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "right", "key": "api-key"}}}
    container = {
        "name": "server",
        "image": "toolorch/mock-vllm:dev",
        "command": ["sh", "-c", SERVE],
        "env": [key],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
        "securityContext": SECURITY,
    }
    metadata = {"name": SERVER, "labels": {"app": SERVER}}
    service = {"selector": {"app": SERVER}, "ports": [{"port": 8000}]}
    return (
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    )


def secret(name, key):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"api-key": key}}


def external(pools, name, secret_name):
    document = pools.make(name)
    ref = {"name": secret_name, "key": "api-key"}
    base = f"http://{SERVER}.{pools.namespace}.svc:8000/v1"
    document["spec"] = {
        "engine": "external",
        "model": "gpt",
        "external": {"baseURL": base, "apiKeySecretRef": ref},
        "preflight": {"toolCalling": "Required"},
    }
    return document


@pytest.fixture(scope="module", autouse=True)
def _world(pools, keys):
    pools.apply(*server(), *(secret(name, key) for name, key in keys.items()))
    pools.cluster.wait(f"pod/{SERVER}", "condition=Ready", namespace=pools.namespace)
    pools.apply(*(external(pools, name, name) for name in ("right", "wrong", "missing")))


@pytest.fixture(scope="module")
def missed(pools, keys):
    """What the pool without a Secret said; from then on there is one, which a kubelet notices in its own time."""
    pools.until_reason("missing", "ApiKeyNotFound")
    seen = pools.status("missing"), pools.condition("missing", "Ready"), pools.events("missing", "ApiKeyNotFound")
    pools.apply(secret("missing", keys["right"]))
    return seen


def test_a_secret_that_is_missing_is_told_by_name(missed):
    status, ready, told = missed
    assert status["ready"] == "0/1"
    assert "the key api-key of the Secret missing" in ready["message"]
    assert told == [ready["message"]]


def test_the_right_key_makes_it_ready_after_a_real_tool_call(pools):
    status = pools.until_ready("right")
    assert status["reason"] == "AllReplicasReady"
    passed = pools.condition("right", "PreflightPassed")
    assert (passed["status"], passed["reason"]) == ("True", "CallsTools")
    assert status["served"]["id"] == "gpt"
    assert [(e["ready"], e["url"]) for e in pools.endpoints("right")] == [
        (True, f"http://{SERVER}.{pools.namespace}.svc:8000/v1")
    ]
    assert pools.pods("right") == [], "no pod serves it"


def test_a_wrong_key_is_told(pools):
    status = pools.until_reason("wrong", "ApiKeyRefused")
    assert status["ready"] == "0/1"
    assert "refuses the key" in pools.condition("wrong", "Ready")["message"]
    assert len(pools.events("wrong", "ApiKeyRefused")) == 1


def test_a_secret_that_comes_late_is_noticed(pools, missed):
    assert pools.until_ready("missing")["reason"] == "AllReplicasReady"


def test_the_key_stands_in_no_object_but_its_secret_and_in_no_log(pools, keys):
    for name in ("right", "missing"):
        pools.until_ready(name)
    pools.until_reason("wrong", "ApiKeyRefused")
    kinds = "mpl,configmaps,deployments,replicasets,jobs,pods,services,endpointslices,events"
    seen = pools.cluster.kubectl("get", kinds, "-o", "json", namespace=pools.namespace)
    assert len(json.loads(seen)["items"]) > 10
    seen += pools.cluster.kubectl("logs", "deployment/toolorch", "--tail=-1", namespace="default")
    for job in pools.cluster.get("jobs", namespace=pools.namespace):
        seen += pools.cluster.kubectl("logs", f"job/{job['metadata']['name']}", namespace=pools.namespace)
    for key in keys.values():
        assert key not in seen
        assert base64.b64encode(key.encode()).decode() not in seen
