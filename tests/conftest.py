"""Options and fixtures of all tests."""

import json
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, none kept in a folder, and no deadline: the machine is shared.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.load_profile("same")


def pytest_addoption(parser):
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files; read them in the diff")
    parser.addoption("--fault-plan", help="one plan of faults alone: the path of its file")
    parser.addoption(
        "--all-faults", action="store_true", help="every plan of faults, not those of the short tier alone"
    )


@pytest.fixture
def golden(request):
    """Compare JSON with a golden file beside the test: `golden("name.json", value)`."""

    def check(name, value):
        path = Path(request.path).parent / "golden" / name
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert json.loads(path.read_text()) == json.loads(text), "read the difference, then run with --update-golden"

    return check


@pytest.fixture(scope="session")
def merge_patch():
    """Merge a JSON merge patch (RFC 7386) into a document: null removes."""

    def merged(good, change):
        if not isinstance(change, dict):
            return change
        base = dict(good) if isinstance(good, dict) else {}
        for key, value in change.items():
            if value is None:
                base.pop(key, None)
            else:
                base[key] = merged(base.get(key), value)
        return base

    return merged
