"""What the chart's role allows, and what an operator was seen to ask for, both as (API group, resource, verb)."""

import re
from pathlib import Path

import yaml

TEMPLATE = Path(__file__).parents[3] / "helm/toolorch/templates/rbac.yaml"
_ONLY_TEMPLATE = re.compile(r"\s*\{\{-?.*\}\}\s*")
_BY_DEFAULT = re.compile(r'\{\{ ternary "(\w+)" "\w+" \$all \}\}')
GROUPS = {
    "deployments": "apps",
    "jobs": "batch",
    "leases": "coordination.k8s.io",
    "modelpools": "toolorch.dev",
    "evalruns": "toolorch.dev",
}


def read_rights():
    """Return the rights that the chart gives an operator that watches all namespaces, with every optional rule."""
    lines = [line for line in TEMPLATE.read_text().splitlines() if not _ONLY_TEMPLATE.fullmatch(line)]
    text = re.sub(r"\{\{.*?\}\}", "x", _BY_DEFAULT.sub(r"\1", "\n".join(lines)))
    roles = [each for each in yaml.safe_load_all(text) if each and each["kind"] in ("Role", "ClusterRole")]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def find_used(records):
    """Return the rights that a trace's requests need; what asks model servers, or the API as such, needs none."""
    used = set()
    for record in records:
        verb, _, about = record.signature.partition(" ")
        if verb == "proxy" or not verb.islower() or about.startswith("/"):
            continue
        resource, _, rest = about.partition("/")
        subresource = rest.partition("/")[2]
        used.add((GROUPS.get(resource, ""), f"{resource}/{subresource}" if subresource else resource, verb))
        if verb == "patch" and not subresource and resource != "events":
            used.add((GROUPS.get(resource, ""), resource, "create"))  # an apply, of what may not be there
    return used
