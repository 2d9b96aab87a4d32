"""`toolorch watch` beside a real run: it sees pools, shards and Events, and ends with the run's exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WATCH = [sys.executable, "-m", "toolorch_evaluator.cli", "watch"]
PATIENCE = 600
"""Seconds for the whole example, images loaded."""


def documents():
    for name in ("pools.yaml", "evalrun.yaml"):
        yield from yaml.safe_load_all((EXAMPLES / name).read_text())


def watch(cluster, namespace, *arguments):
    return subprocess.run(
        [*WATCH, "--namespace", namespace, *arguments],
        capture_output=True, text=True, env=cluster.env, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_a_run_is_watched_to_its_end(cluster, namespace):
    for document in documents():
        cluster.apply(document, namespace=namespace)
    run = next(d["metadata"]["name"] for d in documents() if d["kind"] == "EvalRun")
    followed = watch(cluster, namespace, run)
    assert followed.returncode == 0, followed.stderr
    lines = followed.stdout.splitlines()
    assert any(": 1/1 AllReplicasReady" in line for line in lines)
    assert any(line.startswith("shard 0: Running on ") for line in lines)
    assert any(line.startswith(f"{run}: Planned: ") for line in lines)
    assert f"{run}: RunComplete" in lines
    assert any(line.startswith("report: s3://") for line in lines)
    once = watch(cluster, namespace, run, "--once")
    assert once.returncode == 0
    assert max(map(len, once.stdout.splitlines()[:4])) <= 80


def test_a_run_that_is_not_there_is_told_with_its_likely_name(cluster, namespace):
    missed = watch(cluster, namespace, "tau2-smok")
    assert missed.returncode == 2
    assert f"there is no EvalRun tau2-smok in namespace {namespace}; did you mean tau2-smoke?" in missed.stderr
