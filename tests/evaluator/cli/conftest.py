"""Documents, files and the real command, as every test of the command line needs them."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parents[3]
TOOLORCH = [sys.executable, "-m", "toolorch_evaluator.cli"]


def pool(name, model="org/model", **spec):
    return {
        "apiVersion": "toolorch.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name},
        "spec": {"model": model, "toolCalling": {"parser": "hermes"}, **spec},
    }


def mock_pool(name, model, **spec):
    return pool(name, model, image="toolorch/mock-vllm:dev", servedModelName=name, **spec)


def evalrun(name="run", agent="agent", user="user", benchmark=None, **spec):
    return {
        "apiVersion": "toolorch.dev/v1alpha1",
        "kind": "EvalRun",
        "metadata": {"name": name},
        "spec": {
            "benchmark": {"name": "tau2", "domains": ["retail"], **(benchmark or {})},
            "roles": {"agent": {"pool": agent}, "user": {"pool": user}},
            **spec,
        },
    }


@pytest.fixture(scope="session")
def documents():
    """Builders of documents: pool, mock_pool, evalrun."""
    return SimpleNamespace(pool=pool, mock_pool=mock_pool, evalrun=evalrun)


@pytest.fixture
def write(tmp_path):
    """Write documents, or a text as it is, into a file and return its path."""

    def write(*documents, name="documents.yaml"):
        text = documents[0] if isinstance(documents[0], str) else yaml.safe_dump_all(documents, sort_keys=False)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture(scope="session")
def start():
    """Start the real command with these arguments and additions to the environment."""

    def start(*arguments, **environment):
        return subprocess.Popen(
            [*TOOLORCH, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell starts its background jobs deaf to Ctrl-C, and children inherit that: these must hear it anyway.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return start


@pytest.fixture(scope="session")
def end():
    """Wait for a started command and return (exit code, stdout, stderr)."""

    def end(command, timeout=300):
        with command:
            out, err = command.communicate(timeout=timeout)
        return command.returncode, out, err

    return end
