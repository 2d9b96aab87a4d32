"""A shard with a scripted benchmark against real storage and a real HTTP server."""

import asyncio
import json
import time

import zstandard

from toolorch_api.keys import transcript_key
from toolorch_api.shard import ExitCode
from toolorch_evaluator.shard_step import run_shard


async def test_a_shard_stores_transcript_and_result_of_each_unit_once(make_world, model_servers, scripted, complete):
    world = make_world()
    benchmark = scripted(6)
    server = await model_servers(lambda body, headers: (200, complete(answer_for(body)), {}))
    world.point(server)
    await world.assign(benchmark.units)

    code = await run_shard(world.run, world.settings, benchmark, world.results, asyncio.Event())

    assert code is ExitCode.OK
    assert len(world.keys("results")) == len(world.keys("transcripts")) == 6
    result = world.object(world.keys("results")[0])
    assert result["endpoints"] == ["pool-a/pool-a-0"]
    assert result["served"] == {"agent": "tiny"}
    progress = world.object("progress/1-0.json")
    assert (progress["passed"], progress["failed"], progress["running"], progress["finished"]) == (5, 1, 0, True)


def answer_for(body) -> str:
    return "wrong" if body["messages"][0]["content"] == "task 3" else "right"
