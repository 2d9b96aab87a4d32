"""`toolorch sweep --cluster`: judged, applied, shown; the same command again shows how far the runs are by then."""

import csv
import subprocess
import sys
import time

import pytest
import yaml
from cluster_runs import TOOLS, pool

pytestmark = pytest.mark.cluster

SWEEP = [sys.executable, "-m", "toolorch_evaluator.cli", "sweep", "--cluster"]
PATIENCE = 600
"""Seconds for two runs, images loaded."""
DOCUMENT = {
    "apiVersion": "toolorch.dev/v1alpha1",
    "kind": "Sweep",
    "metadata": {"name": "s"},
    "matrix": {"strategy": ["act", "tool-calling"]},
    "spec": {
        "benchmark": {
            "name": "tau-bench", "domains": ["retail"], "numTasks": 2, "options": {"strategy": "${strategy}"}
        },
        "roles": {"agent": {"pool": "orchestrator"}, "user": {"pool": "user-sim"}},
        "shards": 1,
    },
}  # fmt: skip


@pytest.fixture
def sweep(cluster, namespace, tmp_path):
    """Give the command, and return how it ended and the rows of its table."""

    def sweep(document=DOCUMENT):
        file, table = tmp_path / "sweep.yaml", tmp_path / "table.csv"
        file.write_text(yaml.safe_dump(document))
        table.unlink(missing_ok=True)
        command = [*SWEEP, "-f", file, "--csv", table, "--namespace", namespace]
        done = subprocess.run(command, capture_output=True, text=True, env=cluster.env, timeout=PATIENCE, check=False)
        return done, list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []

    return sweep


def test_a_sweep_is_applied_once_and_its_table_fills(cluster, namespace, sweep):
    missed, _ = sweep()
    assert missed.returncode == 2
    assert "there is no ModelPool orchestrator on the cluster" in missed.stderr
    assert cluster.get("evalruns", namespace=namespace) == []
    for made in (pool("orchestrator", "mock/oracle", toolCalling=TOOLS), pool("user-sim", "mock/user")):
        cluster.apply(made, namespace=namespace)
    begun, rows = sweep()
    assert begun.returncode == 0, begun.stderr
    assert [row["run"] for row in rows] == ["s-act", "s-tool-calling"]
    end = time.monotonic() + PATIENCE
    while {row["score"] for row in rows} != {"1.000"}:
        assert time.monotonic() < end, rows
        time.sleep(2)
        again, rows = sweep()
        assert again.returncode == 0, again.stderr
    generations = {item["metadata"]["generation"] for item in cluster.get("evalruns", namespace=namespace)}
    assert generations == {1}
    changed, _ = sweep({**DOCUMENT, "spec": {**DOCUMENT["spec"], "seed": 7}})
    assert changed.returncode == 2
    assert "spec.seed is immutable" in changed.stderr
