"""The report of a real shard's results."""

import asyncio
import csv
import io
import json
from datetime import UTC, datetime

import pytest

from toolorch_api.deaths import Death
from toolorch_api.keys import PROMPTS_KEY, attempt_provenance_key, death_key, error_key, result_key
from toolorch_api.provenance import AttemptProvenance
from toolorch_api.run_input import Price, Serving
from toolorch_api.shard import Summary
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.report_step import report
from toolorch_evaluator.shard_step import run_shard

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WHY = ("of another configuration", "unreadable", "of another unit")


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
        if task == "task 1":
            return 200, complete("wrong?</think>right"), {}
        return 200, complete("wrong" if task == "task 3" else "right", [("look", "{}")]), {}

    world.point(await model_servers(answer))
    await world.assign(benchmark.units)
    await run_shard(world.run, world.settings, benchmark, world.results, asyncio.Event(), quick)
    return world, benchmark


async def test_a_report_has_all_its_files_with_one_set_of_numbers(finished):
    world, benchmark = finished
    told = {
        "versions": {"prompts": "7"},
        "texts": {"agent": "Be <b>brief</b>."},
        "tools": {"agent": [{"name": "look"}]},
    }
    await world.results.put(PROMPTS_KEY, json.dumps(told).encode())
    run = world.run.model_copy(update={"prices": {"pool-a": Price(input="100", output="2000")}})
    head = await report(run, world.results, NOW, nowhere)
    assert world.keys("report") == [
        "report/charts/histogram.png",
        "report/charts/latency.png",
        "report/charts/score.png",
        "report/charts/timeline.png",
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
    assert summary["latency"][0]["part"] == "agent"
    assert summary["counts"] == {"leaked_thoughts_agent": 2}
    # 10 answers of 10 and 3 tokens each.
    assert (summary["costs"]["dollars"], summary["costs"]["unpriced"]) == ("0.0700", [])
    assert summary["served"] == {"agent": {"tiny": 5}}
    assert world.object(result_key(benchmark.units[1]))["counts"] == {"leaked_thoughts_agent": 2}
    rows = list(csv.DictReader(io.StringIO((world.folder / "store/report/results.csv").read_text())))
    assert [r["status"] for r in rows] == ["passed"] * 3 + ["failed", "passed", "infra_error"]

    page = (world.folder / "store/report/report.html").read_text()
    for shown in ("0.800", "n = 5", "95 % interval 0.38–0.96", "0.667", "pool-a/pool-a-0 5", "answered as"):
        assert shown in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page, "what a server said is escaped"
    assert "http" not in page.replace("HTTP", "").replace("http-equiv", ""), "the page loads nothing from elsewhere"
    for shown in ("Be &lt;b&gt;brief&lt;/b&gt;.", "Version of prompts: 7", "leaked_thoughts_agent 2", "0.0700"):
        assert shown in page
    text = (world.folder / "store/report/report.md").read_text()
    assert "| agent | 0.0700 | 100 | 30 | 100 | 2000 | pool-a |" in text
    assert "- leaked\\_thoughts\\_agent: 2" in text
    assert "| retail | 6 | 5 | 4 | 1 | 0 | 0.800 | 0.38–0.96 | 0.667 | 0.30–0.90 |" in text


async def test_results_of_others_damaged_ones_and_outlived_errors_do_not_count_and_are_named(finished):
    world, benchmark = finished
    foreign, damaged, swapped = (world.folder / "store" / result_key(benchmark.units[n]) for n in (0, 1, 2))
    foreign.write_text(foreign.read_text().replace(world.run.spec_hash, "f" * 16))
    damaged.write_text("{half")
    swapped.write_bytes((world.folder / "store" / result_key(benchmark.units[4])).read_bytes())
    error = (world.folder / "store" / error_key(benchmark.units[5])).read_bytes()
    await world.results.put(error_key(benchmark.units[4]), error)
    head = await report(world.run, world.results, NOW, nowhere)
    assert (head.scored, head.passed, head.infra_errors, head.refused) == (2, 1, 1, 3)
    assert head.refusal.startswith("3 result objects refused: 1 ")
    keys = {result_key(benchmark.units[n]): why for n, why in enumerate(WHY)}
    assert all(why in head.refusal for why in WHY)
    assert world.object("report/summary.json")["refusedResults"] == keys
    page = (world.folder / "store/report/report.html").read_text()
    assert all(key in page for key in keys)
    assert "Refused:" in (world.folder / "store/report/report.md").read_text()


async def test_units_that_were_set_aside_are_listed_with_what_died_of_them(finished):
    world, benchmark = finished
    deaths = [("p1", [5, 3], 1, "OOMKilled"), ("p2", [5], 1, "OOMKilled"), ("<b>", [5], 1, "<i>exit code 137")]
    for pod, units, count, why in deaths:
        death = Death(spec_hash=world.run.spec_hash, attempt=1, what="pod", units=units, count=count, why=why)
        await world.results.put(death_key(1, pod), death.model_dump_json(by_alias=True).encode())
    await world.results.put(death_key(1, "unreadable"), b"{")
    head = await report(world.run, world.results, NOW, nowhere, attempt=2)
    assert (head.scored, head.infra_errors, head.quarantined, head.attempt) == (5, 0, 1, 2)
    listed = world.object("report/summary.json")["quarantinedUnits"]
    why = "pod: OOMKilled 2 times, pod: <i>exit code 137"
    assert listed == [{"unit": benchmark.units[5].key, "deaths": 3, "alone": 2, "why": why}]
    page = (world.folder / "store/report/report.html").read_text()
    assert "<h2>Quarantined units</h2>" in page
    assert "&lt;i&gt;exit code 137" in page


async def test_provenance_tells_what_served_at_each_attempt_and_at_the_end(finished):
    world, _ = finished
    image = "docker.io/vllm/vllm-openai@sha256:" + "ab" * 32
    serving = Serving(
        image_id=image, revision="c" * 40, engine_version="0.33.0", effective={"gpuMemoryUtilization": 95}
    )
    pool = world.run.pools["pool-a"]
    then = AttemptProvenance(
        spec_hash=world.run.spec_hash,
        attempt=1,
        began_at=NOW,
        evaluator_image="toolorch@sha256:1",
        pools={"pool-a": pool.model_copy(update={"serving": serving})},
    )
    foreign = then.model_copy(update={"spec_hash": "f" * 16, "attempt": 2})
    for told in (then, foreign):
        body = told.model_dump_json(by_alias=True).encode()
        await world.results.put(attempt_provenance_key(told.attempt), body)
    now = serving.model_copy(update={"effective": {"gpuMemoryUtilization": 90}, "arguments": ["vllm", "serve", "<m>"]})
    run = world.run.model_copy(update={"pools": {"pool-a": pool.model_copy(update={"serving": now})}})
    await report(run, world.results, NOW, nowhere)
    told = world.object("provenance.json")
    assert told["specHash"] == run.spec_hash
    assert told["datasetHash"] == "d"
    assert told["served"] == {"agent": {"tiny": 5}}
    assert told["evaluatorImage"] == "toolorch@sha256:1"
    assert [a["attempt"] for a in told["attempts"]] == [1]
    assert told["attempts"][0]["pools"]["pool-a"]["serving"]["imageId"] == image
    assert told["pools"]["pool-a"]["serving"]["effective"] == {"gpuMemoryUtilization": 90}
    change = "pool-a: gpuMemoryUtilization 95 → 90 between attempt 1 and the end"
    assert told["changes"] == [change]
    page = (world.folder / "store/report/report.html").read_text()
    for shown in (change, "vllm-openai@sha256:abababababab", "c" * 40, "vLLM 0.33.0", "vllm serve &#39;&lt;m&gt;&#39;"):
        assert shown in page
    assert "| pool-a | m | " + "c" * 40 in (world.folder / "store/report/report.md").read_text()


async def test_evidence_that_nobody_can_read_breaks_no_report(finished):
    world, _ = finished
    (events,) = (key for key in world.keys("attempts") if key.endswith("events.jsonl.zst"))
    path = world.folder / "store" / events
    path.write_bytes(path.read_bytes()[:-20])
    for key in ("attempts/1/1/events.jsonl.zst", attempt_provenance_key(1), "progress/1-7.json"):
        await world.results.put(key, b"{half")
    head = await report(world.run, world.results, NOW, nowhere)
    assert (head.scored, head.infra_errors) == (5, 1)
    assert world.object("provenance.json")["attempts"] == []


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
