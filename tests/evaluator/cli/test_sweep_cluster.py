"""`toolorch sweep --cluster` over a kubectl that keeps what it is given: judged first, applied then, then read."""

import json

import pytest

from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.kubectl import Kubectl
from toolorch_evaluator.cli.sweep_cluster import apply_runs
from toolorch_evaluator.cli.sweep_documents import load_sweep
from toolorch_evaluator.cli.sweep_table import render_sweep

# What is applied is kept by how: `judged.json` and `applied.json`. A file `<how>.error` is said and fails.
SCRIPT = """#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> calls
how="${2%%.*}.json"
[ "$1" = get ] && exec cat "$how"
how=applied
case "$*" in *--dry-run=server*) how=judged;; esac
cat > "$how.json"
[ -e "$how.error" ] && cat "$how.error" >&2 && exit 1
exit 0
"""
SWEEP = {
    "apiVersion": "toolorch.dev/v1alpha1",
    "kind": "Sweep",
    "metadata": {"name": "s", "namespace": "lab"},
    "matrix": {"domain": ["retail", "airline"]},
    "spec": {
        "benchmark": {"name": "tau2", "domains": ["${domain}"]},
        "roles": {"agent": {"pool": "agent"}, "user": {"pool": "user"}},
    },
}


class Cluster:
    """The fake kubectl's folder."""

    def __init__(self, folder):
        self.folder = folder
        self.kubectl = Kubectl(str(folder / "kubectl"), "lab", "kind")
        (folder / "kubectl").write_text(SCRIPT)
        (folder / "kubectl").chmod(0o755)
        self.hold(modelpools=["agent", "user"], evalruns=["s-retail", "s-airline"])

    def hold(self, **names):
        for kind, held in names.items():
            units = {"total": 2, "done": 2, "passed": 1}
            status = {"done": "2/2", "score": "0.500", "units": units, "reason": "Running"}
            items = [{"metadata": {"name": name}, "status": status} for name in held]
            (self.folder / f"{kind}.json").write_text(json.dumps({"items": items}))

    def applied(self, how="applied"):
        path = self.folder / f"{how}.json"
        return json.loads(path.read_text())["items"] if path.exists() else []


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


@pytest.fixture
def loaded(write):
    return load_sweep([write(SWEEP)], with_pools=False)


async def test_all_are_judged_before_they_are_applied_and_then_shown_as_they_stand(cluster, loaded):
    rows = await apply_runs(cluster.kubectl, loaded)
    assert cluster.applied("judged") == cluster.applied()
    assert [item["metadata"] for item in cluster.applied()] == [{"name": "s-retail"}, {"name": "s-airline"}]
    calls = (cluster.folder / "calls").read_text().splitlines()
    assert [call.split()[0] for call in calls] == ["get", "apply", "apply", "get"]
    assert all("--namespace=lab --context=kind" in call for call in calls)
    assert all("--server-side --field-manager=toolorch-cli" in call for call in calls[1:3])
    assert render_sweep(["domain"], rows)[1].split() == ["retail", "2/2", "0.500", "0", "Running"]


async def test_a_pool_that_is_not_there_is_a_sentence_and_nothing_is_applied(cluster, loaded):
    cluster.hold(modelpools=["agnet", "user"])
    with pytest.raises(BadInputError, match=r"no ModelPool agent on the cluster.*did you mean agnet\?"):
        await apply_runs(cluster.kubectl, loaded)
    assert not cluster.applied("judged")


async def test_what_the_server_refuses_is_said_line_by_line_and_nothing_is_applied(cluster, loaded):
    (cluster.folder / "judged.error").write_text(
        "E1121 18:32:26 log\ns-retail: spec.seed is immutable\ns-airline: the same\n"
    )
    with pytest.raises(BadInputError) as refused:
        await apply_runs(cluster.kubectl, loaded)
    assert refused.value.sentences == ("kubectl: s-retail: spec.seed is immutable", "kubectl: s-airline: the same")
    assert not cluster.applied()


async def test_a_run_that_the_cluster_does_not_show_yet_has_a_row_all_the_same(cluster, loaded):
    cluster.hold(evalruns=["s-retail"])
    rows = await apply_runs(cluster.kubectl, loaded)
    assert render_sweep(["domain"], rows)[2].split() == ["airline", "not", "begun"]
