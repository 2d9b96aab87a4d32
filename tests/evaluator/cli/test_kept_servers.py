"""Servers that are let go by one command and taken over by the next, the command line's own part of it included."""

import asyncio
import os
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from typer.testing import CliRunner

from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.__main__ import app
from toolorch_evaluator.cli.children import Children
from toolorch_evaluator.cli.keeping import describe_servers, let_go, take_over
from toolorch_evaluator.cli.machine import furnish
from toolorch_evaluator.cli.notes import notes_folder, read_notes
from toolorch_evaluator.cli.pools import LocalPool, Tools
from toolorch_evaluator.cli.references import References
from toolorch_evaluator.cli.replicas import Ground, Replica
from toolorch_evaluator.cli.reuse import NO_SERVERS, KeptServers
from toolorch_evaluator.cli.session import LAUNCHER
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.instances import instance_names
from toolorch_operator.modelpool.observed import RunUse
from toolorch_operator.prober import Prober

OOM = [{"name": "MOCK_OOM_ABOVE_UTILIZATION", "value": "93"}]


@asynccontextmanager
async def opened(document, folder, notes, servers=NO_SERVERS):
    """A pool as one command has it: the pool, and what furnishes it."""
    pool = ModelPool.model_validate(document)
    metadata = pool.metadata.model_copy(update={"uid": "u", "generation": 1, "creation_timestamp": datetime.now(UTC)})
    machine = furnish({"agent": pool}, References({}), {}, folder / "scratch", os.environ, servers)
    async with httpx.AsyncClient(trust_env=False) as client, Children(folder / "scratch") as children:
        ground = Ground(children, LAUNCHER, folder / "scratch")
        environment = machine.environments["agent"]
        replicas = {n: Replica(n, folder / f"{n}.log", (), environment, ground) for n in instance_names(pool)}
        tools = Tools(client, Defaults("vllm", "toolorch"), {}, RunUse("run", datetime.now(UTC)))
        prober = Prober(client, None, time.monotonic, lambda _: None)
        local = LocalPool(pool.model_copy(update={"metadata": metadata}), replicas, tools, prober)
        take_over(local, machine.kept, notes)
        deadline = time.monotonic() + 60
        while not local.is_ready:
            assert time.monotonic() < deadline, local.document.status
            await local.advance([], datetime.now(UTC))
            await asyncio.sleep(0.02)
        await prober.close()
        yield local, machine


@pytest.fixture
def command(tmp_path):
    """Run `toolorch servers …` and return what it prints."""

    def command(*arguments):
        done = CliRunner().invoke(app, ["servers", *arguments], env={"XDG_RUNTIME_DIR": str(tmp_path)})
        assert done.exit_code == 0, done.output
        return done.output.splitlines()

    return command


async def test_a_server_that_is_let_go_serves_the_next_command_until_it_is_ended(documents, tmp_path, command):
    notes = notes_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    startup = {"settleSeconds": 0}
    # A claim means nothing on one machine: nothing is fetched into it.
    memory = {"gpuMemoryUtilization": 95, "env": OOM, "cache": {"persistentVolumeClaim": "models"}}
    document = documents.mock_pool("agent", "mock/oracle", replicas=2, startup=startup, **memory)
    async with opened(document, tmp_path / "first", notes) as (pool, machine):
        assert let_go(pool, machine.asks["agent"], notes) == ["agent-0", "agent-1"]
    kept = read_notes(notes)
    async with opened(document, tmp_path / "second", notes, KeptServers(notes, kept, kept)) as (pool, machine):
        assert describe_servers(pool) == "2/2 reused"
        # What the ladder had come to is not gone through again.
        assert pool.document.status.effective.gpu_memory_utilization == 90
        assert let_go(pool, machine.asks["agent"], notes) == []
    assert not list((tmp_path / "second").glob("*.log"))
    header, row, _ = await asyncio.to_thread(command)
    assert header.startswith("SERVER")
    assert row.split()[:4] == ["agent-0", "mock/oracle", f"http://127.0.0.1:{kept[0].port}/v1", "ok"]
    assert await asyncio.to_thread(command, "stop", "agent") == [f"{n.instance} on port {n.port}: ended" for n in kept]
    assert not any(note.is_alive for note in kept)
    assert "no servers are kept" in (await asyncio.to_thread(command))[0]
