"""Every pod of the operator and of the chart is as restricted as can be: no root, and a root that is read-only."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEMPLATES = sorted((ROOT / "helm/toolorch/templates").rglob("*.yaml"))
CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
VOLUMES = {"name", "configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret"}
"""Kinds of volumes that Pod Security `restricted` admits; a pool's hostPath cache is told of in docs/operations.md."""


def pods_in(value):
    """Return every pod spec in a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value] if isinstance(value, dict) and "containers" in value else []
    return own + [pod for each in inner for pod in pods_in(each)]


# What the golden files hold is what is built: the tests of pools and runs compare them.
GOLDEN = {
    f"{path.name} {number}": pod
    for path in sorted((ROOT / "tests/operator").glob("*/golden/*.json"))
    for number, pod in enumerate(pods_in(json.loads(path.read_text())))
}


@pytest.mark.parametrize("pod", GOLDEN.values(), ids=GOLDEN)
def test_a_pod_that_the_operator_builds_is_restricted(pod):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & pod.keys()
    assert {kind for volume in pod["volumes"] for kind in volume} <= VOLUMES
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        assert container["securityContext"] == CONTAINER
        assert not any("hostPort" in port for port in container.get("ports", ()))


def test_pools_and_every_step_of_a_run_are_among_them():
    assert {name.split(".")[0] for name in GOLDEN} == {
        "pool-big", "pool-small", "plan-job", "attempt-job", "report-job",
    }  # fmt: skip


def definition(name):
    """Return a definition of the chart as YAML."""
    text = (ROOT / "helm/toolorch/templates/_names.tpl").read_text()
    return yaml.safe_load(text.partition(f'define "{name}" -}}}}')[2].partition("{{- end }}")[0])


def test_what_the_charts_pods_share_is_restricted():
    pod, container = definition("toolorch.podSecurity"), definition("toolorch.containerSecurity")
    assert (pod["runAsNonRoot"], pod["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert pod["runAsUser"] > 0
    assert container == CONTAINER


@pytest.mark.parametrize("path", [p for p in TEMPLATES if "containers:" in p.read_text()], ids=lambda p: p.name)
def test_every_pod_and_container_of_the_chart_has_it(path):
    text = path.read_text()
    assert len(re.findall(r"^ *containers:$", text, re.MULTILINE)) == text.count('include "toolorch.podSecurity"')
    containers = re.findall(r"^ *image: ", text, re.MULTILINE)
    assert len(containers) == text.count('include "toolorch.containerSecurity"')
    assert containers
