"""The examples, unchanged, on a real cluster: a pool that heals itself, a run that ends with the score it must have.

`toolorch watch` stands beside: it sees pools, shards and Events, and ends with the run's exit code.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).parents[2] / "examples"
QUIET_SECONDS = 60
WATCH = (sys.executable, "-m", "toolorch_evaluator.cli", "watch", "--namespace")
PATIENCE = 600
"""Seconds for the whole example, images loaded."""


@pytest.fixture(scope="module")
def watching(cluster, namespace):
    """Both files applied, and a program that watches the run."""
    for name in ("pools.yaml", "evalrun.yaml"):
        cluster.apply((EXAMPLES / name).read_text(), namespace=namespace)
    command, piped = (*WATCH, namespace, "tau2-smoke"), subprocess.PIPE
    with subprocess.Popen(command, stdout=piped, stderr=piped, text=True, env=cluster.env) as program:
        yield program
        program.kill()


@pytest.fixture(scope="module")
def sample(cluster, namespace, watching):
    """The pool settled and the run ended, report included."""
    cluster.wait("modelpool/orchestrator", "condition=Ready", namespace=namespace)
    cluster.wait("evalrun/tau2-smoke", "condition=Complete", namespace=namespace)
    cluster.wait("evalrun/tau2-smoke", "condition=ReportReady", namespace=namespace)
    # The report is in storage before its pod has ended, and what others still write about that is not the operator's.
    cluster.wait("job/tau2-smoke-report", "condition=Complete", namespace=namespace)
    return namespace


def test_the_pool_starts_at_95_and_settles_at_85_with_two_remediations(cluster, sample):
    pool = cluster.get("modelpool", "orchestrator", namespace=sample)
    assert pool["spec"]["gpuMemoryUtilization"] == 95
    assert pool["status"]["effective"]["gpuMemoryUtilization"] == 85
    steps = [(r["signature"], r["field"], r["from"], r["to"]) for r in pool["status"]["remediations"]]
    assert steps == [
        ("CAPTURE_OOM", "gpuMemoryUtilization", "95", "90"),
        ("CAPTURE_OOM", "gpuMemoryUtilization", "90", "85"),
    ]
    assert pool["status"]["ready"] == "2/2"
    assert pool["status"]["observedGeneration"] == pool["metadata"]["generation"]


def test_each_remediation_is_one_event(cluster, sample):
    events = [e for e in cluster.get("events", namespace=sample) if e["reason"] == "GpuMemoryUtilizationLowered"]
    assert [e["regarding"]["name"] if "regarding" in e else e["involvedObject"]["name"] for e in events] == [
        "orchestrator",
        "orchestrator",
    ]
    words = sorted(e.get("note") or e["message"] for e in events)
    assert "90 → 85" in words[0] + words[1]
    assert "95 → 90" in words[0] + words[1]


def test_endpoints_follow_readiness_in_both_formats(cluster, sample):
    written = cluster.get("configmap", "orchestrator-endpoints", namespace=sample)["data"]
    endpoints = json.loads(written["endpoints.json"])
    assert endpoints["servedModelName"] == "orchestrator"
    assert [(e["name"], e["ready"]) for e in endpoints["endpoints"]] == [
        ("orchestrator-0", True),
        ("orchestrator-1", True),
    ]
    assert len(json.loads(written["model_config.json"])["orchestrator"]) == 2
    assert cluster.get("service", "orchestrator", namespace=sample)["spec"]["ports"]


def test_the_run_ends_complete_with_30_of_30_and_score_1(cluster, sample):
    run = cluster.get("evalrun", "tau2-smoke", namespace=sample)["status"]
    assert run["score"] == run["scoreScheduled"] == "1.000"
    assert run["done"] == "30/30"
    assert (run["units"]["passed"], run["units"]["failed"], run["units"].get("infraErrors", 0)) == (30, 0, 0)
    assert run["attempt"] == 1
    assert run["report"].endswith("/report/report.html")


def test_thirty_result_objects_lie_in_the_bucket_each_passed(cluster, sample):
    run = cluster.get("evalrun", "tau2-smoke", namespace=sample)["status"]
    prefix = run["results"].removeprefix("s3://evals/")
    with cluster.bucket() as bucket:
        keys = [entry["path"].removeprefix(f"{prefix}/") for page in bucket.list(prefix) for entry in page]
        results = [json.loads(bytes(bucket.get(f"{prefix}/{k}").bytes())) for k in keys if k.startswith("results/")]
        summary = json.loads(bytes(bucket.get(f"{prefix}/report/summary.json").bytes()))
    assert len(results) == 30
    assert {r["status"] for r in results} == {"passed"}
    assert {r["specHash"] for r in results} == {run["specHash"]}
    assert sum(k.startswith("transcripts/") for k in keys) == 30
    assert {"run.json", "manifest.json", "report/report.html", "report/results.csv"} <= set(keys)
    assert (summary["score"], summary["total"]) == ("1.000", 30)


def test_kubectl_get_shows_what_a_user_wants_to_know(cluster, sample):
    pools = cluster.kubectl("get", "mpl", namespace=sample).splitlines()
    assert pools[0].split() == ["NAME", "MODEL", "READY", "UTIL", "REASON", "AGE"]
    assert pools[1].split()[:5] == ["orchestrator", "mock/oracle", "2/2", "85", "AllReplicasReady"]
    runs = cluster.kubectl("get", "er", namespace=sample).splitlines()
    assert runs[0].split() == ["NAME", "BENCHMARK", "DONE", "SCORE", "ERRORS", "REASON", "ETA", "AGE"]
    assert runs[1].split()[:6] == ["tau2-smoke", "tau2", "30/30", "1.000", "0", "RunComplete"]


def test_secrets_stay_out_of_objects_logs_and_results(cluster, sample):
    secret = cluster.read_secret("toolorch-s3", sample)["AWS_SECRET_ACCESS_KEY"]
    seen = cluster.kubectl("get", "mpl,er,configmaps,deployments,jobs,pods,events", "-o", "yaml", namespace=sample)
    seen += cluster.kubectl("logs", "deployment/toolorch", "--tail=-1", namespace="default")
    for job in cluster.get("jobs", namespace=sample):
        seen += cluster.kubectl("logs", f"job/{job['metadata']['name']}", "--tail=-1", namespace=sample)
    assert secret not in seen
    prefix = cluster.get("evalrun", "tau2-smoke", namespace=sample)["status"]["results"].removeprefix("s3://evals/")
    with cluster.bucket() as bucket:
        paths = [entry["path"] for page in bucket.list(prefix) for entry in page]
        bodies = {path: bytes(bucket.get(path).bytes()) for path in paths}
    assert len(bodies) > 60
    for path, body in bodies.items():
        plain = zstandard.ZstdDecompressor().decompressobj().decompress(body) if path.endswith(".zst") else body
        assert secret.encode() not in plain, path


def test_a_run_is_watched_to_its_end(cluster, sample, watching):
    printed, complaints = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 0, complaints
    lines = printed.splitlines()
    assert any(": 1/1 AllReplicasReady" in line for line in lines)
    assert any(line.startswith("shard 0: Running on ") for line in lines)
    assert any(line.startswith("tau2-smoke: Planned: ") for line in lines)
    assert "tau2-smoke: RunComplete" in lines
    assert any(line.startswith("report: s3://") for line in lines)
    once = cluster.call(*WATCH, sample, "tau2-smoke", "--once")
    assert once.returncode == 0
    assert max(map(len, once.stdout.splitlines()[:4])) <= 80


def test_a_run_that_is_not_there_is_told_with_its_likely_name(cluster, sample):
    missed = cluster.call(*WATCH, sample, "tau2-smok")
    assert missed.returncode == 2
    assert f"there is no EvalRun tau2-smok in namespace {sample}; did you mean tau2-smoke?" in missed.stderr


def versions(cluster, namespace):
    """What every write would move, however it is made."""
    kinds = "mpl,er,deployments,services,configmaps,jobs,pods,events"
    items = json.loads(cluster.kubectl("get", kinds, "-o", "json", namespace=namespace))["items"]
    return {(i["kind"], i["metadata"]["name"]): i["metadata"]["resourceVersion"] for i in items}


def writes(cluster):
    with cluster.forward("deployment/toolorch", 8080, namespace="default") as port:
        text = cluster.call("curl", "--silent", "--noproxy", "*", f"http://127.0.0.1:{port}/metrics").stdout
    counted = [line for line in text.splitlines() if line.startswith("toolorch_writes_total{")]
    assert counted, "the operator counts its writes"
    return sum(float(line.split()[-1]) for line in counted)


def test_a_quiet_cluster_is_not_written_to(cluster, sample):
    before, counted = versions(cluster, sample), writes(cluster)
    time.sleep(QUIET_SECONDS)
    assert versions(cluster, sample) == before
    assert writes(cluster) == counted


def test_scaling_goes_through_the_scale_subresource_and_leaves_nothing_behind(cluster, sample):
    cluster.kubectl("scale", "mpl/orchestrator", "--replicas=1", namespace=sample)
    cluster.wait("deployment/orchestrator-1", "delete", namespace=sample)
    cluster.wait("modelpool/orchestrator", "jsonpath={.status.ready}=1/1", namespace=sample)
    pool = cluster.get("modelpool", "orchestrator", namespace=sample)["status"]
    assert pool["effective"]["gpuMemoryUtilization"] == 85, "a scale does not restart the ladder"
    cluster.kubectl("delete", "mpl,er", "--all", "--wait=true", namespace=sample)
    for kind in ("deployments", "jobs", "services"):
        cluster.kubectl("wait", kind, "--all", "--for=delete", "--timeout=60s", namespace=sample)
