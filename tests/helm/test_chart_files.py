"""The chart's files agree with what they are made from."""

import json
import subprocess
import sys

import pytest
import yaml


@pytest.fixture(scope="module")
def chart(pytestconfig):
    return pytestconfig.rootpath / "helm" / "toolorch"


def test_the_charts_crds_are_fresh(pytestconfig):
    script = pytestconfig.rootpath / "hack" / "chart_crds.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def paths(tree, prefix=""):
    """Names of all values, dotted; a free-form map or list counts as one."""
    for name, value in tree.items():
        path = f"{prefix}{name}"
        yield path
        if isinstance(value, dict) and value:
            yield from paths(value, f"{path}.")


def schema_paths(node, root, prefix=""):
    node = root["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
    for name, child in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from schema_paths(child, root, f"{prefix}{name}.")


def test_every_value_is_in_the_schema_and_the_schema_has_no_other(chart):
    values = yaml.safe_load((chart / "values.yaml").read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    free = ("resources.", "runs.resources.", "retrieval.resources.")
    named = {path for path in paths(values) if not path.startswith(free)}
    assert named == set(schema_paths(schema, schema)) - {"global"}


def test_every_value_has_a_word_of_explanation(chart):
    lines = (chart / "values.yaml").read_text().splitlines()
    bare = []
    for before, line in zip(["", *lines], lines, strict=False):
        starts_a_value = line and not line.startswith((" ", "#"))
        if starts_a_value and not before.startswith("#"):
            bare.append(line)
    # Blocks whose members are explained one by one, and the usual knobs of any pod, named once above them.
    assert {line.split(":")[0] for line in bare} <= {
        "image", "crds", "metrics", "serviceAccount",
        "podAnnotations", "podLabels", "nodeSelector", "tolerations", "affinity", "priorityClassName",
    }  # fmt: skip
