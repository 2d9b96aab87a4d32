"""Questions on a cluster: an index, the chart's search over it, a run that searches it, the sandbox in a pod."""

import json
import re
from pathlib import Path

import pytest
import yaml
from cluster_runs import TOOLS, condition, pool
from kind_cluster import CHART, S3
from patience import until
from stored_run import read_run

pytestmark = pytest.mark.cluster

SANDBOX = Path(__file__).parents[2] / "docs" / "sandbox.md"
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
SECONDS = 180


def evaluator_pod(name, *arguments):
    """A pod of the evaluator's image, with the storage's keys."""
    container = {
        "name": name,
        "image": "toolorch/evaluator:dev",
        "args": list(arguments),
        "envFrom": [{"secretRef": {"name": S3}}],
        "env": [{"name": "HOME", "value": "/tmp"}],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {
        "restartPolicy": "Never",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def retrieval(cluster, namespace):
    """The chart's search service over an index of the sample's documents; its URL."""
    index = f"s3://evals/index-{namespace}"
    cluster.apply(evaluator_pod("index", "index", "sample://documents", index), namespace=namespace)
    cluster.wait("pod/index", "jsonpath={.status.phase}=Succeeded", namespace=namespace, seconds=SECONDS)
    values = {"enabled": "true", "index": index, "secretName": S3}
    chosen = [word for name, value in values.items() for word in ("--set", f"retrieval.{name}={value}")]
    rendered = cluster.helm(
        "template", "toolorch", CHART, "--namespace", namespace, "--show-only", "templates/retrieval.yaml", *chosen
    )
    cluster.apply(rendered, namespace=namespace)
    cluster.wait("deployment/toolorch-retrieval", "condition=Available", namespace=namespace, seconds=SECONDS)
    return f"http://toolorch-retrieval.{namespace}:8765"


def test_a_run_searches_computes_answers_and_is_judged(cluster, namespace, retrieval):
    cluster.apply(pool("mock", "mock/oracle", toolCalling=TOOLS), namespace=namespace)
    experts = {name: {"pool": "mock"} for name in ("search-1", "reasoner-1", "answer-1")}
    roles = {"agent": {"pool": "mock"}, "judge": {"pool": "mock"}, "experts": experts, "retrieval": {"url": retrieval}}
    spec = {"benchmark": {"name": "frames", "dataset": {"uri": "sample://questions"}}, "roles": roles, "shards": 2}
    run = {"apiVersion": "toolorch.dev/v1alpha1", "kind": "EvalRun", "metadata": {"name": "asked"}, "spec": spec}
    cluster.apply(run, namespace=namespace)

    def status():
        return cluster.get("evalrun", "asked", namespace=namespace).get("status", {})

    ended = until(status, lambda s: condition(s, "ReportReady"), seconds=SECONDS)
    assert (ended["done"], ended["score"]) == ("20/20", "1.000")
    with cluster.bucket() as bucket:
        results = [json.loads(body) for body in read_run(bucket, ended, "results/").values()]
    assert len(results) == 20
    for result in results:
        assert result["counts"] == {"search_ok": 1, "enhance_reasoning_ok": 1, "answer_ok": 1}, result


def test_every_escape_from_the_sandbox_fails_in_a_restricted_pod(cluster, namespace):
    (manifest,) = re.findall(r"```yaml\n(apiVersion: v1\nkind: Pod.*?)```", SANDBOX.read_text(), re.DOTALL)
    cluster.apply(yaml.safe_load(manifest), namespace=namespace)
    phase = until(
        lambda: cluster.get("pod", "sandbox-check", namespace=namespace)["status"]["phase"],
        lambda phase: phase in ("Succeeded", "Failed"),
        seconds=SECONDS,
    )
    log = cluster.kubectl("logs", "sandbox-check", namespace=namespace)
    assert phase == "Succeeded", log
    held, made = map(int, re.search(r"(\d+) of (\d+) attempts held", log).groups())
    assert (held, made >= 20) == (made, True), log
