"""The chart on a real API server: what it renders, that it lives through install, upgrade, uninstall and reinstall."""

import json
import re
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.cluster

CRDS = ("modelpools.toolorch.dev", "evalruns.toolorch.dev")
CHART = Path(__file__).resolve().parents[2] / "helm" / "toolorch"
DEMO = ("--values", CHART / "values-demo.yaml")
ONE_NAMESPACE = ("--set", "watchNamespace=team-a")
TWO = ("--set", "replicas=2")


def render(cluster, *arguments):
    text = cluster.helm("template", "toolorch", CHART, "--namespace", "default", *arguments)
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.mark.parametrize(
    "values",
    [(), DEMO, ONE_NAMESPACE, TWO],
    ids=["default", "demo", "one namespace", "two operators"],
)
def test_lint_finds_nothing_and_the_api_server_takes_every_object(cluster, values):
    assert "0 chart(s) failed" in cluster.helm("lint", "--strict", CHART, *values)
    documents = [d for d in render(cluster, *values) if d["metadata"].get("namespace", "default") == "default"]
    text = "\n---\n".join(json.dumps(document) for document in documents)
    flags = ("--dry-run=server", "--server-side", "--force-conflicts")
    done = cluster.call("kubectl", "apply", *flags, "-f", "-", given=text)
    assert done.returncode == 0, done.stderr
    assert "PodSecurity" not in done.stderr
    assert len(done.stdout.splitlines()) == len(documents)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("resyncSeconds=5", "resyncSeconds"),
        ("logLevel=LOUD", "logLevel"),
        ("output.uri=ftp://host/runs", "uri"),
        ("image.operator.tag=", "tag"),
        ("image.operator.repository=a b", "repository"),
        ("watchNamespace=Team_A", "watchNamespace"),
        ("s3.enabled=perhaps", "enabled"),
        ("s3.sizeLimit=lots", "sizeLimit"),
        ("resyncSecond=300", "resyncSecond"),
        ("rbac.secretNames={A_B}", "secretNames"),
        ("replicas=-1", "replicas"),
        ("leaderElection=perhaps", "leaderElection"),
        ("replicas=2,leaderElection=false", "need leaderElection"),
    ],
)
def test_a_bad_value_is_refused_by_its_name(cluster, setting, complaint):
    done = cluster.call("helm", "template", "toolorch", CHART, "--set", setting)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_pod_of_the_chart_is_restricted(cluster):
    """Held against the standard `restricted` by the API server itself, which says so in a warning."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "e2e-restricted", "labels": labels}})
    try:
        pods = []
        for document in render(cluster, *DEMO):
            spec = (
                document["spec"]
                if document["kind"] == "Pod"
                else document.get("spec", {}).get("template", {}).get("spec")
            )
            if spec and document["kind"] in ("Pod", "Deployment"):
                meta = {"name": f"pod-{len(pods)}", "namespace": "e2e-restricted"}
                spec = {**spec, "serviceAccountName": "default"}
                pods.append({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        assert len(pods) == 3, "operator, S3 server, test"
        containers = [container for pod in pods for container in pod["spec"]["containers"]]
        assert all(container["securityContext"]["readOnlyRootFilesystem"] is True for container in containers)
        text = "\n---\n".join(json.dumps(pod) for pod in pods)
        done = cluster.call("kubectl", "apply", "--dry-run=server", "-f", "-", given=text)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        cluster.kubectl("delete", "namespace", "e2e-restricted", "--wait=false")


def test_rights_are_no_more_than_the_operator_uses(cluster):
    documents = render(cluster)
    (role,) = [d for d in documents if d["kind"] == "ClusterRole"]
    rights = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    read, own = {"get", "list", "watch"}, {"create", "patch"}
    assert rights == {
        ("toolorch.dev", "modelpools"): read,
        ("toolorch.dev", "evalruns"): read,
        ("toolorch.dev", "modelpools/status"): {"update"},
        ("toolorch.dev", "evalruns/status"): {"update"},
        ("toolorch.dev", "modelpools/finalizers"): {"update"},
        ("toolorch.dev", "evalruns/finalizers"): {"update"},
        ("apps", "deployments"): read | own | {"delete"},
        ("", "services"): read | own | {"delete"},
        ("", "configmaps"): read | own | {"delete"},
        ("batch", "jobs"): read | own | {"delete"},
        ("", "pods"): {"list", "watch", "delete"},
        ("", "pods/log"): {"get"},
        ("", "namespaces"): {"get"},
        ("", "nodes"): {"list"},
        ("", "resourcequotas"): {"list"},
        ("", "secrets"): {"get"},
        ("", "events"): {"get", "list", "create", "patch"},
    }
    assert leases(documents) == leases(render(cluster, *ONE_NAMESPACE)) == [
        ("default", "get update", ["toolorch"]), ("default", "create", None),
    ]  # fmt: skip
    assert not leases(render(cluster, "--set", "leaderElection=false"))
    alone = [d for d in render(cluster, *ONE_NAMESPACE) if d["metadata"]["name"] != "toolorch-leader"]
    assert not [d for d in alone if d["kind"].startswith("ClusterRole")]
    assert {d["metadata"]["namespace"] for d in alone if d["kind"] in ("Role", "RoleBinding")} == {"team-a"}
    (narrow,) = [d for d in alone if d["kind"] == "Role"]
    assert not [rule for rule in narrow["rules"] if "nodes" in rule["resources"]]


def leases(documents):
    """Rights on leases: the namespace, the verbs, and of which names."""
    return [
        (role["metadata"]["namespace"], " ".join(rule["verbs"]), rule.get("resourceNames"))
        for role in documents
        if role["kind"] == "Role"
        for rule in role["rules"]
        if rule["resources"] == ["leases"]
    ]


def test_several_operators_are_spread_over_nodes_and_drained_one_at_a_time(cluster):
    kinds = {d["kind"] for d in render(cluster)}
    assert "PodDisruptionBudget" not in kinds, "a single one must not hold up a drain"
    several = {d["kind"]: d for d in render(cluster, "--set", "replicas=2")}
    assert several["PodDisruptionBudget"]["spec"]["minAvailable"] == 1
    spec = several["Deployment"]["spec"]
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    labels = spec["template"]["metadata"]["labels"]
    for selector in (spread["labelSelector"], several["PodDisruptionBudget"]["spec"]["selector"]):
        assert selector["matchLabels"].items() <= labels.items()
    assert (spec["replicas"], spec["strategy"]["type"]) == (2, "RollingUpdate")
    alone = {d["kind"]: d for d in render(cluster, "--set", "leaderElection=false")}
    assert alone["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


POOL = """
apiVersion: toolorch.dev/v1alpha1
kind: ModelPool
metadata: {name: steady}
spec:
  engine: vllm
  model: mock/idle
  image: toolorch/mock-vllm:dev
  replicas: 1
  resources: {gpuResource: nvidia.com/gpu, cpu: 50m, memory: 256Mi, sharedMemory: 64Mi}
"""


def api_answers(cluster):
    """Codes of the API server's answers, by (verb, resource), as the operator counted them."""
    with cluster.forward("service/toolorch", 8080, namespace="default") as port:
        text = cluster.call("curl", "--silent", "--noproxy", "*", f"http://127.0.0.1:{port}/metrics").stdout
    codes = {}
    for line in text.splitlines():
        if line.startswith("toolorch_api_requests_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            codes.setdefault((labels["verb"], labels["resource"]), set()).add(labels["code"])
    return codes


def test_install_upgrade_uninstall_reinstall_with_a_live_pool(cluster, release, namespace):
    assert "Phase:          Succeeded" in cluster.helm("test", release, "--namespace", "default")
    cluster.apply(POOL, namespace=namespace)
    cluster.wait("modelpool/steady", "condition=Ready", namespace=namespace)
    born = {kind: uids(cluster, kind, namespace) for kind in ("modelpool", "deployment", "pods")}
    keys = cluster.read_secret("toolorch-s3", "default")
    answers = api_answers(cluster)
    assert "200" in answers["update", "modelpools/status"]
    assert "201" in answers["patch", "deployments"]
    assert not [asked for asked, codes in answers.items() if "403" in codes], "the chart grants what the code asks for"

    cluster.install("--set", "resyncSeconds=120")
    assert cluster.read_secret("toolorch-s3", "default") == keys, "an upgrade keeps the bucket's keys"

    cluster.helm("uninstall", release, "--namespace", "default", "--wait")
    assert not cluster.is_installed()
    for crd in CRDS:
        assert cluster.get("crd", crd)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert {kind: uids(cluster, kind, namespace) for kind in born} == born, "pools and their pods outlive the operator"

    cluster.install()
    cluster.wait("deployment/toolorch", "condition=Available", namespace="default")
    cluster.kubectl("scale", "modelpool", "steady", "--replicas=2", namespace=namespace)
    cluster.wait("modelpool/steady", "jsonpath={.status.readyReplicas}=2", namespace=namespace)
    for kind, before in born.items():
        assert before.items() <= uids(cluster, kind, namespace).items(), "what lived is taken over, not made again"
    assert "Phase:          Succeeded" in cluster.helm("test", release, "--namespace", "default")


def uids(cluster, kind, namespace):
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in cluster.get(kind, namespace=namespace)}
