"""Steps as the programs that pods run: exit codes, last words, SIGTERM."""

import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from toolorch_api.keys import assignment_key
from toolorch_api.shard import Assignment, ExitCode
from toolorch_evaluator.plan_step import plan
from toolorch_evaluator.shard_step import run_shard

PROGRAM = Path(__file__).with_name("scripted_evaluator.py")


@pytest.fixture
def begin():
    """Begin a step of a world as a program."""

    async def start(world, step):
        env = {
            "TOOLORCH_INPUT_DIR": str(world.settings.input_dir),
            "TOOLORCH_ATTEMPT": "1",
            "TOOLORCH_SHARD": "0",
            "TOOLORCH_POD": "pod-1",
            "TOOLORCH_TERMINATION_LOG": str(world.settings.termination_log),
        }
        return await asyncio.create_subprocess_exec(
            sys.executable, str(PROGRAM), step, env=env, stderr=asyncio.subprocess.DEVNULL
        )

    return start


async def test_sigterm_drains_and_a_second_pod_ends_the_rest(make_world, model_servers, scripted, begin):
    world = make_world(concurrencyPerShard=2)
    benchmark = scripted(8)
    server = await model_servers(delay=0.1)
    world.point(server)
    await plan(world.run, benchmark, world.results, datetime.now(UTC))
    await assign(world, 8)
    child = await begin(world, "shard")
    await asyncio.wait_for(server.asked(5), timeout=30)
    word = json.loads(world.settings.termination_log.read_text())
    assert 1 <= len(word["running"]) <= 2, "what SIGKILL would leave"
    for _ in range(3):
        child.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.01)
    assert await child.wait() == ExitCode.DRAINED
    assert world.settings.termination_log.read_bytes() == b""
    done = len(world.keys("results"))
    assert 2 <= done < 8
    assert world.object("progress/1-0.json")["finished"] is False

    asked = len(server.requests)
    assert await run_shard(world.run, world.settings, benchmark, world.results, asyncio.Event()) is ExitCode.OK
    assert len(world.keys("results")) == 8
    assert len(server.requests) - asked == 2 * (8 - done), "no finished unit ran twice"
    assert world.object("progress/1-0.json")["passed"] == 8


async def test_a_signal_that_comes_while_the_program_is_still_loading_is_not_lost(make_world, begin):
    world = make_world()
    child = await begin(world, "shard")
    for status in iter(lambda: Path(f"/proc/{child.pid}/status").read_text(), ""):
        if int(status.partition("SigBlk:")[2].split()[0], 16) & 1 << signal.SIGTERM - 1:
            break
        await asyncio.sleep(0.002)
    child.send_signal(signal.SIGTERM)
    assert await child.wait() == ExitCode.DRAINED


async def assign(world, count):
    assignment = Assignment(spec_hash=world.run.spec_hash, attempt=1, shards=[list(range(count))])
    await world.results.put(assignment_key(1), assignment.model_dump_json(by_alias=True).encode())


async def test_an_unknown_task_ends_with_42_and_a_sentence(make_world, begin):
    world = make_world(benchmark={"name": "tau2", "taskIds": ["nowhere"]})
    assert await (await begin(world, "plan")).wait() == ExitCode.BAD_INPUT
    word = json.loads(world.settings.termination_log.read_text())
    assert word == {"reason": "BadBenchmark", "message": "spec.benchmark: unknown task 'nowhere'"}
