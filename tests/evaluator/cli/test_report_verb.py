"""`toolorch report`: a stored run's report printed and copied, and its conversations as a log that Inspect reads."""

import asyncio
import io
import json

import pytest
from inspect_ai.log import read_eval_log
from rich.console import Console

from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks.base import Reply, ToolCall
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.report import ReportRequest, show_report
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.stored import Conversation, Evidence, pack


@pytest.fixture
def stored(tmp_path, store_run):
    """A run of three units in a folder, the first of which has a conversation."""
    folder = tmp_path / "old-0123abcd"
    store_run(folder, "old", [1, 0, 1])
    return folder


@pytest.fixture
def reported(stored):
    async def call(**options):
        out = io.StringIO()
        request = ReportRequest("old", stored.parent, **options)
        await show_report(request, lambda uri: Results(open_store(uri)), Console(file=out, width=80))
        return out.getvalue()

    return call


async def talk(unit):
    """A conversation with a tool call of each side's kind."""
    replies = {
        "user": [Reply("Hello."), Reply("Thanks. ###STOP###")],
        "agent": [Reply("Let me see.", (ToolCall("c1", "list_all_product_types", {}),)), Reply("Done.")],
    }

    async def ask(role, messages, tools=(), seed=None):
        return replies[role].pop(0)

    from toolorch_api.evalrun import EvalRunSpec

    roles = {"agent": {"pool": "a"}, "user": {"pool": "u"}}
    return await Tau2().converse(unit, EvalRunSpec.model_validate({"benchmark": {"name": "tau2"}, "roles": roles}), ask)


async def test_every_conversation_is_in_the_log_that_inspect_reads(stored, reported, tmp_path):
    result_file = sorted(stored.glob("results/**/*.json"))[0]
    result = json.loads(result_file.read_text())
    unit = Unit(result["variant"], result["domain"], result["taskId"], result["trial"])
    evidence = Evidence.model_validate(
        {name: result[name] for name in ("specHash", "attempt", "pod", "startedAt", "endedAt")}
    )
    transcript = stored / f"transcripts/{unit.key}.json.zst"
    transcript.parent.mkdir(parents=True)
    transcript.write_bytes(pack(Conversation(await talk(Unit("control", "retail", "0", 0)), evidence)))
    printed = await reported(inspect=tmp_path / "logs")
    assert "old.eval" in printed
    # In a loop that runs, Inspect would change asyncio for the whole process.
    log = await asyncio.to_thread(read_eval_log, str(tmp_path / "logs/old.eval"))
    assert (log.status, len(log.samples), log.results.scores[0].metrics["mean"].value) == ("success", 3, 2 / 3)
    sample = next(s for s in log.samples if s.messages)
    assert sample.id == f"{unit.variant}/{unit.domain}/{unit.task_id}"
    assert [type(m).__name__.removeprefix("ChatMessage") for m in sample.messages] == [
        "Assistant", "User", "Assistant", "Tool", "Assistant", "User",
    ]  # fmt: skip
    assert sample.messages[2].tool_calls[0].function == "list_all_product_types"
    assert {s.scores["reward"].value for s in log.samples} == {0.0, 1.0}


async def test_a_report_is_printed_as_it_was_written_and_copied_whole(stored, reported, tmp_path):
    with pytest.raises(BadInputError, match="no report yet"):
        await reported()
    (stored / "report/charts").mkdir(parents=True)
    (stored / "report/report.md").write_text("# old\n\n**Score 0.667**\n")
    (stored / "report/charts/score.png").write_bytes(b"png")
    assert "**Score 0.667**" in await reported()
    assert "2 files" in await reported(copy_to=tmp_path / "copy")
    assert (tmp_path / "copy/charts/score.png").read_bytes() == b"png"


@pytest.mark.parametrize("terminal", [False, True])
async def test_a_report_does_not_command_the_terminal(stored, terminal):
    (stored / "report").mkdir()
    (stored / "report/report.md").write_text("# old\n\n| cause |\n|---|\n| \x1b]0;owned\x07 |\n")
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=terminal, color_system=None)
    await show_report(ReportRequest("old", stored.parent), lambda uri: Results(open_store(uri)), console)
    assert "?]0;owned?" in out.getvalue()


async def test_a_run_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(BadInputError, match="there is no run nobody"):
        await show_report(ReportRequest("nobody", tmp_path), lambda uri: Results(open_store(uri)), Console())
