"""Good documents of both kinds and the table of bad ones."""

from pathlib import Path

import pytest
import yaml

TABLE = yaml.safe_load((Path(__file__).parent / "specs.yaml").read_text())


def pytest_generate_tests(metafunc):
    if "bad" in metafunc.fixturenames:
        metafunc.parametrize("bad", TABLE["bad"], ids=[row["id"] for row in TABLE["bad"]])


@pytest.fixture
def good():
    return TABLE["good"]


@pytest.fixture
def document(bad, merge_patch):
    return merge_patch(TABLE["good"][bad["kind"]], bad["set"])
