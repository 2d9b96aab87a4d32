"""`toolorch sweep` as it is typed: what it prints without running anything, and which options belong together."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from toolorch_api.evalrun import EvalRun
from toolorch_evaluator.cli.__main__ import app

FOLDER = Path(__file__).parents[3] / "examples" / "taubench-sweep"


def sweep(*arguments):
    return CliRunner().invoke(app, ["sweep", "-f", str(FOLDER / "sweep.yaml"), *arguments])


def test_the_manifests_are_printed_as_a_cluster_takes_them_and_need_no_pools():
    done = sweep("--print")
    assert done.exit_code == 0
    runs = list(yaml.safe_load_all(done.stdout))
    assert len(runs) == 24
    last = EvalRun.model_validate(runs[-1])
    assert last.metadata.name == "taubench-airline-tool-calling-qwen3-32b"
    assert (last.spec.trials, last.spec.roles.agent.temperature) == (5, "0.6")


@pytest.mark.parametrize("before", [(), ("-f", str(FOLDER / "pools.yaml"))])
def test_a_file_may_be_named_without_f(before):
    done = CliRunner().invoke(app, ["sweep", *before, str(FOLDER / "sweep.yaml"), "--print"])
    assert done.stdout == sweep("--print").stdout != ""


@pytest.mark.parametrize(
    ("verb", "holding"), [("sweep", "ModelPools and one Sweep"), ("run", "ModelPool and EvalRun documents")]
)
def test_a_command_without_a_file_says_what_it_wants(verb, holding):
    done = CliRunner().invoke(app, [verb])
    assert done.exit_code == 2
    assert f"no file is given: name YAML files with {holding}, as in -f FILE" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--print", "--cluster"), "--print applies nothing, --cluster does: choose one of them"),
        (("-n", "lab"), "--namespace and --context say where on a cluster: add --cluster"),
        (("--endpoint", "qwen3-4b"), "--endpoint: 'qwen3-4b' must have the form POOL=VALUE"),
        ((), "spec.roles.agent.pool: there is no ModelPool qwen3-4b in the files (there: none)"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_ends_with_2(arguments, says):
    done = sweep(*arguments)
    assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_an_option_for_a_pool_that_no_run_uses_is_refused():
    done = sweep("-f", str(FOLDER / "pools.yaml"), "--endpoint", "qwen=http://127.0.0.1:1/v1")
    assert done.exit_code == 2
    assert "--endpoint: no run has a pool qwen; their pools are qwen3-4b, user-sim, qwen3-8b" in done.stderr
