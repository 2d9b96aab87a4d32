"""`toolorch compare`: which runs it finds, what it prints, and what its exit code says."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from toolorch_api.conditions import Condition
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_evaluator.cli.compare import CompareRequest, compare_runs
from toolorch_evaluator.cli.display import render_score
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.stored import find_baseline, find_run
from toolorch_evaluator.results import Results, open_store

SOME_LOST = [1] * 20 + [0] * 20


@pytest.fixture
def runs(tmp_path, store_run):
    """A folder with two runs: old passes all of 40 tasks, new half of them."""
    store_run(tmp_path / "old-0123abcd", "old", [1] * 40)
    store_run(tmp_path / "new-0123abcd", "new", SOME_LOST)
    return tmp_path


@pytest.fixture
def compared(runs):
    """Compare two runs, and return (exit code, what was printed at 80 columns)."""

    async def call(before, after, max_drop=None, as_json=False):
        out = io.StringIO()
        request = CompareRequest(before, after, runs, max_drop, as_json)
        code = await compare_runs(request, lambda uri: Results(open_store(uri)), Console(file=out, width=80))
        return code, out.getvalue()

    return call


async def test_the_table_fits_a_terminal_and_has_the_numbers(compared, runs):
    code, text = await compared("old", "new")
    assert code == 0
    lines = text.splitlines()
    assert lines[:2] == [f"A  {runs}/old-0123abcd", f"B  {runs}/new-0123abcd"]
    row = next(line for line in lines if line.startswith("all"))
    assert row.split() == ["all", "40", "40", "1.000", "0.500", "−50.0", "−64.1", "to", "−31.1", "20", "0"]
    widest = lines.index(next(line for line in lines if set(line) == {"─"}))
    assert len(lines[widest]) <= 74, "the longest domain, telecom, is one letter more than the head: it must not break"
    assert "gate" not in text


@pytest.mark.parametrize(
    ("before", "after", "max_drop", "code", "words"),
    [
        pytest.param("old", "new", 5, 1, "gate breached: score 0.500 against 1.000 of old", id="a breach is 1"),
        pytest.param("new", "old", 5, 0, "gate held: score 1.000 against 0.500 of new", id="a rise is 0"),
        pytest.param("old", "new", 50, 0, "gate inconclusive: ", id="what cannot be told is 0, with words"),
    ],
)
async def test_the_exit_code_is_the_gate_s(compared, before, after, max_drop, code, words):
    found, text = await compared(before, after, max_drop)
    assert found == code
    assert words in text


async def test_another_dataset_is_said_and_breaches_nothing(compared, runs, store_run):
    store_run(runs / "other-0123abcd", "other", [1] * 40, dataset="e")
    code, text = await compared("other", "new", 5)
    assert code == 0
    assert "not comparable: other and new ran other datasets" in text
    assert "gate inconclusive" in text


async def test_runs_without_a_common_unit_have_no_table(compared, runs, store_run):
    store_run(runs / "none-0123abcd", "none", [None] * 40)
    code, text = await compared("none", "new", 5)
    assert code == 0
    assert "no unit is scored in both" in text
    assert "scored in one only: 0 units in A, 40 in B" in text


async def test_json_is_one_document_with_the_gate(compared, runs):
    code, text = await compared("old", (runs / "new-0123abcd").as_uri(), 5, as_json=True)
    document = json.loads(text)
    assert code == 1
    assert document["whole"] == {
        "name": "all", "tasks": 40, "units": 40, "lost": 20, "gained": 0,
        "before": 1.0, "after": 0.5, "difference": -0.5, "low": -0.64102, "high": -0.31136,
    }  # fmt: skip
    assert (document["gate"]["passed"], document["gate"]["reason"]) == (False, "GateBreached")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("nobody", "there is no run nobody in", id="a name that nothing has"),
        pytest.param("./nowhere", "no run is stored there", id="a folder that is not there"),
        pytest.param("file:///nowhere/at/all", "no run is stored there", id="a URI of a folder that is not there"),
        pytest.param("ftp://x/y", "cannot be opened", id="a scheme that nobody knows"),
    ],
)
async def test_what_is_no_run_is_bad_input(compared, name, words):
    with pytest.raises(BadInputError, match=words):
        await compared("old", name)


def test_a_name_means_the_newest_run_of_that_name_alone(runs, store_run):
    older = store_run(runs / "old-00000000", "old", [1])
    store_run(runs / "old-fashioned-0123abcd", "old-fashioned", [1])
    os.utime(older / "manifest.json", (0, 0))
    assert find_run("old", runs) == (runs / "old-0123abcd").as_uri()
    assert find_run("old", runs, besides=runs / "old-0123abcd") == older.as_uri()
    assert find_run("s3://bucket/run/", runs) == "s3://bucket/run"


def test_the_program_ends_with_the_code_and_writes_only_the_document(runs):
    command = [sys.executable, "-m", "toolorch_evaluator.cli", "compare", "old", "new", "--json", "--max-drop", "5"]
    ended = subprocess.run([*command, "-o", str(runs)], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, json.loads(ended.stdout)["gate"]["passed"], ended.stderr) == (1, False, "")


# The gate of `toolorch run`.


@pytest.fixture
def gated(documents):
    return lambda baseline: EvalRun.model_validate(documents.evalrun("new", gate={"baseline": baseline, "maxDrop": 5}))


def complete(folder, status):
    ended = {"type": "Complete", "status": status, "reason": "x", "lastTransitionTime": "2026-01-02T03:04:00Z"}
    (folder / "status.json").write_text(json.dumps({"conditions": [ended]}))


def test_a_baseline_is_a_complete_run_beside_or_a_folder(runs, gated):
    own, old = runs / "new-0123abcd", runs / "old-0123abcd"
    assert "is not complete" in find_baseline(gated("old"), own).problem
    complete(old, "False")
    assert "is not complete" in find_baseline(gated("old"), own).problem
    complete(old, "True")
    assert find_baseline(gated("old"), own).root == old.as_uri()
    (old / "status.json").unlink()
    (old / "report").mkdir()
    (old / "report/summary.json").write_text("{}")
    assert find_baseline(gated(str(old)), own).root == old.as_uri(), "a copy of a run on a cluster"
    assert find_baseline(gated("new"), own).problem == f"there is no other run new in {runs}"


def test_a_run_without_a_gate_has_no_baseline(runs, documents):
    assert find_baseline(EvalRun.model_validate(documents.evalrun("new")), runs / "new-0123abcd") is None


def test_the_end_of_a_run_tells_its_gate(gated):
    held = Condition(
        type="GatePassed", status="True", reason="GateHeld", message="m", last_transition_time="2026-01-02T03:04:00Z"
    )
    run = gated("old").model_copy(update={"status": EvalRunStatus(conditions=[held])})
    assert render_score(run) == ["gate held: m"]
