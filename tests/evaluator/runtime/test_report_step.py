"""The report of a real shard's results."""

import asyncio
import csv
import io
from datetime import UTC, datetime

import pytest

from toolorch_api.keys import error_key, result_key
from toolorch_api.shard import Summary
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.report_step import report
from toolorch_evaluator.shard_step import run_shard

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def nowhere(root):
    raise AssertionError(f"no gate, yet {root} is opened")


@pytest.fixture
async def finished(make_world, model_servers, scripted, complete, quick):
    """A run with four passed, one failed and one infra error."""
    world, benchmark = make_world(), scripted(6)

    def answer(body, headers):
        task = body["messages"][0]["content"]
        if task == "task 5":
            return 400, "<script>alert(1)</script>", {}
        return 200, complete("wrong" if task == "task 3" else "right", [("look", "{}")]), {}

    world.point(await model_servers(answer))
    await world.assign(benchmark.units)
    await run_shard(world.run, world.settings, benchmark, world.results, asyncio.Event(), quick)
    return world, benchmark


async def test_a_report_has_all_its_files_with_one_set_of_numbers(finished):
    world, _ = finished
    head = await report(world.run, world.results, NOW, nowhere)
    assert world.keys("report") == [
        "report/charts/latency.png",
        "report/charts/pace.png",
        "report/charts/score.png",
        "report/report.html",
        "report/report.md",
        "report/results.csv",
        "report/summary.json",
    ]
    assert (head.score, head.scored, head.total, head.infra_errors) == ("0.800", 5, 6, 1)
    summary = world.object("report/summary.json")
    assert Summary.model_validate(summary) == head
    assert summary["causes"] == {"model_refused": 1}
    assert summary["latency"][0]["calls"] == 10
    assert summary["served"] == {"agent": ["tiny"]}
    rows = list(csv.DictReader(io.StringIO((world.folder / "store/report/results.csv").read_text())))
    assert [r["status"] for r in rows] == ["passed"] * 3 + ["failed", "passed", "infra_error"]

    page = (world.folder / "store/report/report.html").read_text()
    for shown in ("0.800", "n = 5", "95 % interval 0.38–0.96", "0.667", "pool-a/pool-a-0 5", "answered as"):
        assert shown in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page, "what a server said is escaped"
    assert "http" not in page.replace("HTTP", ""), "the page loads nothing from elsewhere"
    text = (world.folder / "store/report/report.md").read_text()
    assert "| retail | 6 | 5 | 4 | 1 | 0.800 |" in text


async def test_foreign_and_damaged_results_and_outlived_errors_do_not_count(finished):
    world, benchmark = finished
    path = world.folder / "store" / result_key(benchmark.units[0])
    path.write_text(path.read_text().replace(world.run.spec_hash, "f" * 16))
    (world.folder / "store" / result_key(benchmark.units[1])).write_text("{half")
    error = (world.folder / "store" / error_key(benchmark.units[5])).read_bytes()
    await world.results.put(error_key(benchmark.units[2]), error)
    head = await report(world.run, world.results, NOW, nowhere)
    assert (head.scored, head.infra_errors) == (3, 1)


async def test_a_run_without_any_result_has_a_report_too(make_world, scripted):
    world, benchmark = make_world(), scripted(2)
    await world.assign(benchmark.units)
    head = await report(world.run, world.results, NOW, nowhere)
    assert (head.score, head.score_scheduled, head.scored) == ("", "0.000", 0)


async def test_without_a_plan_there_is_no_report(make_world, scripted):
    world = make_world()
    with pytest.raises(StorageError, match=r"manifest.json is not in storage"):
        await report(world.run, world.results, NOW, nowhere)
    await world.assign(scripted(1).units)
    foreign = world.run.model_copy(update={"spec_hash": "f" * 16})
    with pytest.raises(BadInputError, match="spec hash"):
        await report(foreign, world.results, NOW, nowhere)
