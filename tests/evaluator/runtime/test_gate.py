"""The gate in the report: what it says of a baseline that is there, one that is not, and none at all."""

from datetime import UTC, datetime

import pytest

from toolorch_api.shard import Baseline, Summary
from toolorch_evaluator.comparison import Side
from toolorch_evaluator.gate import baseline_opener, hold_against_baseline
from toolorch_evaluator.report_step import report

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SOME_LEFT = [1] * 20 + [0] * 20


@pytest.fixture
def gated(make_world, store_run, tmp_path):
    """Report a run with these rewards whose gate has this baseline, and return (head, what lies in storage)."""

    async def build(rewards, baseline=None, **gate):
        world = make_world(**({"gate": {"baseline": "old", **gate}} if gate else {}))
        store_run(tmp_path / "store", "run-1", rewards, spec_hash=world.run.spec_hash)
        run = world.run.model_copy(update={"baseline": baseline})
        return await report(run, world.results, NOW, baseline_opener({})), world

    return build


async def test_a_breached_gate_stands_in_summary_and_report(gated, store_run, tmp_path):
    old = store_run(tmp_path / "old-1", "old", [1] * 40)
    head, world = await gated(SOME_LEFT, Baseline(name="old", root=old.as_uri()), maxDrop=5)
    assert (head.gate.passed, head.gate.reason) == (False, "GateBreached")
    assert Summary.model_validate(world.object("report/summary.json")) == head
    compared = world.object("report/summary.json")["comparison"]
    assert (compared["before"], compared["whole"]["lost"], compared["whole"]["difference"]) == ("old", 20, -0.5)
    text = (world.folder / "store/report/report.md").read_text()
    assert "**Breached**: score 0.500 against 1.000 of old over 40 tasks: −50.0 points" in text
    assert "| all | 40 | 40 | 1.000 | 0.500 | −50.0 |" in text
    page = (world.folder / "store/report/report.html").read_text()
    assert "<b>Breached:</b> score 0.500 against 1.000 of old" in page


PROBLEMS = {
    "a baseline that is gone is named by who looked for it": (
        Baseline(name="old", problem="EvalRun old does not exist"), "EvalRun old does not exist",
    ),
    "an input without a baseline is named": (None, "run.json does not say where the results of old are"),
    "a folder without a run is named": (Baseline(name="old", root="file://{tmp}/none"), "manifest.json is not in"),
    "a storage that nobody knows is named": (Baseline(name="old", root="s4://x/y"), "s4://x/y cannot be opened"),
    "a folder with something else is named": (Baseline(name="old", root="file://{tmp}/other"), "is no manifest"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS, ids=str)
async def test_without_a_baseline_the_gate_is_unknown_and_says_why(make_world, tmp_path, name):
    baseline, words = PROBLEMS[name]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text("[]")
    if baseline is not None:
        baseline = baseline.model_copy(update={"root": baseline.root.replace("{tmp}", str(tmp_path))})
    run = make_world(gate={"baseline": "old"}).run.model_copy(update={"baseline": baseline})
    found = await hold_against_baseline(run, Side("run-1", "tau2", "d", {}), baseline_opener({}))
    assert (found.outcome.passed, found.outcome.reason, found.comparison) == (None, "BaselineUnavailable", None)
    assert words in found.outcome.message


async def test_a_gate_that_cannot_tell_breaks_no_report(gated):
    head, world = await gated([1, 0], Baseline(name="old", problem="EvalRun old does not exist"), maxDrop=5)
    assert (head.gate.passed, head.gate.message) == (None, "EvalRun old does not exist")
    assert "Unknown: EvalRun old does not exist." in (world.folder / "store/report/report.md").read_text()
    assert "comparison" not in world.object("report/summary.json")


async def test_without_a_gate_nothing_is_said_of_one(gated):
    head, world = await gated([1, 0])
    assert head.gate is None
    assert "gate" not in world.object("report/summary.json")
    assert "Gate" not in (world.folder / "store/report/report.md").read_text()
