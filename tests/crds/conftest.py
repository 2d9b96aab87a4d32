"""Good documents of both kinds and the table of bad ones."""

from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
GOOD = {
    "ModelPool": {
        "apiVersion": "toolorch.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": "pool"},
        "spec": {"model": "org/model", "toolCalling": {"parser": "hermes"}},
    },
    "EvalRun": {
        "apiVersion": "toolorch.dev/v1alpha1",
        "kind": "EvalRun",
        "metadata": {"name": "run"},
        "spec": {
            "benchmark": {"name": "tau2", "domains": ["retail"]},
            "roles": {"agent": {"pool": "pool"}, "user": {"pool": "user"}},
        },
    },
}


def merged(good, change):
    """JSON merge patch: null removes."""
    if not isinstance(change, dict):
        return change
    base = dict(good) if isinstance(good, dict) else {}
    for key, value in change.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = merged(base.get(key), value)
    return base


def pytest_generate_tests(metafunc):
    if "bad" in metafunc.fixturenames:
        rows = yaml.safe_load((HERE / "bad_specs.yaml").read_text())
        metafunc.parametrize("bad", rows, ids=[row["id"] for row in rows])


@pytest.fixture
def good():
    return GOOD


@pytest.fixture
def document(bad):
    return merged(GOOD[bad["kind"]], bad["set"])
