"""Objects under a unit's key that are not that unit's own result: never counted, never overwritten."""

import asyncio
import json
from datetime import UTC, datetime

import pytest

from toolorch_api.keys import error_key, result_key
from toolorch_evaluator.report_step import report
from toolorch_evaluator.shard_step import run_shard
from toolorch_evaluator.stored_ends import read_ends
from toolorch_evaluator.stored_runs import read_manifest, read_side

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def others_result(make_world, model_servers, scripted, quick):
    """Run a shard of four units; while one of them talks, somebody writes below its key what `spoil` makes of it."""

    async def run(spoil):
        world, benchmark = make_world(), scripted(4)
        path = world.folder / "store" / result_key(benchmark.units[2])

        def meddle(unit, spec, ask, converse=benchmark.converse):
            if unit == benchmark.units[2]:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(spoil(world, benchmark))
            return converse(unit, spec, ask)

        benchmark.converse = meddle
        world.point(await model_servers())
        await world.assign(benchmark.units)
        await run_shard(world.run, world.settings, benchmark, world.results, asyncio.Event(), quick)
        return world, benchmark, path

    return run


def own_words(world, benchmark, **change):
    unit = benchmark.units[2]
    told = {"variant": unit.variant, "domain": unit.domain, "taskId": unit.task_id, "trial": unit.trial}
    at = {"startedAt": "2026-11-20T12:00:00Z", "endedAt": "2026-11-20T12:00:09Z"}
    end = {"status": "passed", "reward": 1.0, "specHash": world.run.spec_hash, "attempt": 1, "shard": 0, "pod": "x"}
    return json.dumps({**told, **at, **end, **change})


SPOILS = {
    "of another configuration": lambda world, b: own_words(world, b, specHash="f" * 16),
    "of another unit": lambda world, b: own_words(world, b, taskId=b.units[1].task_id),
    "unreadable": lambda world, b: own_words(world, b)[:-9],
}


@pytest.mark.parametrize("why", SPOILS)
async def test_a_unit_whose_key_is_taken_by_what_is_not_its_result_is_not_scored(others_result, why):
    world, benchmark, path = await others_result(SPOILS[why])
    assert path.read_text() == SPOILS[why](world, benchmark), "what is there stays"
    progress = world.object("progress/1-0.json")
    assert (progress["passed"], progress["failed"], progress["infraErrors"]) == (3, 0, 1)
    error = world.object(error_key(benchmark.units[2]))
    assert (error["cause"], error["message"].partition(",")[0]) == ("result_refused", f"{path_key(path)} is {why}")
    ends = await read_ends(world.results, await read_manifest(world.results), 3)
    assert ends.refused == {path_key(path): why}
    assert (len(ends.finals), len(ends.errors)) == (3, 1)
    assert len((await read_side(world.results, "x")).grades) == 3, "no comparison counts it either"


def path_key(path):
    return path.as_posix().partition("/store/")[2]


async def test_a_result_that_another_pod_wrote_first_is_the_units(others_result):
    world, benchmark, _ = await others_result(own_words)
    ends = await read_ends(world.results, await read_manifest(world.results), 3)
    assert ends.refused == {}
    assert ends.finals[benchmark.units[2]].pod == "x"


async def test_the_report_scores_the_rest_and_says_so(others_result):
    world, _, _ = await others_result(SPOILS["unreadable"])
    head = await report(world.run, world.results, NOW, None)
    assert (head.scored, head.total, head.score, head.score_scheduled) == (3, 4, "1.000", "0.750")
    assert (head.refused, head.infra_errors) == (1, 1)
    assert "1 unreadable" in head.refusal
