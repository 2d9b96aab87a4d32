"""Servers that are kept: noted, found again by what was asked of them, and ended on request."""

import os
import subprocess
import sys

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Effective
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.notes import Note, answering, notes_folder, read_notes, start_ticks, stop, write_note
from toolorch_evaluator.cli.reuse import build_ask, held_gpus, match_notes
from toolorch_evaluator.cli.servers import list_servers, stop_servers

HERE = {"PATH": "/nowhere", "HF_HOME": "/models", "SHLVL": "1"}


@pytest.fixture
def pool(documents):
    def pool(name="agent", **spec):
        return ModelPool.model_validate(documents.pool(name, **spec))

    return pool


@pytest.fixture
def program():
    """A program that stands for a kept server's launcher."""
    started = []

    def program():
        code = "import time; time.sleep(60)"
        started.append(subprocess.Popen([sys.executable, "-c", code], start_new_session=True))
        return started[-1].pid

    yield program
    for one in started:
        one.kill()
        one.wait()


def ask(pool, template=None, **environment):
    return build_ask(pool, {**HERE, **environment}, template, None)


def note(pool, pid=0, instance="agent-0", port=1, asked=None, **more):
    pid, asked = pid or os.getpid(), asked or ask(pool)
    return Note(
        pool=pool.metadata.name, instance=instance, pid=pid, started=start_ticks(pid) or 0, port=port,
        asked=list(asked.command), environment=asked.environment, **more,
    )  # fmt: skip


def match(pools, notes, gpus=(), asks=None):
    found = match_notes(pools, notes, asks or {p.metadata.name: ask(p) for p in pools}, gpus)
    return {instance: note.port for instance, note in found.items()}


def test_the_folder_is_the_users_own_and_made_by_the_first_note(pool, tmp_path):
    folder = notes_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert (folder, folder.exists(), read_notes(folder)) == (tmp_path / "toolorch", False, [])
    write_note(folder, note(pool()))
    assert (notes_folder({"XDG_RUNTIME_DIR": str(tmp_path)}), folder.stat().st_mode & 0o777) == (folder, 0o700)


@pytest.mark.parametrize(
    "spoil",
    [lambda f: f.mkdir(mode=0o755), lambda f: f.symlink_to(f.parent), lambda f: f.touch()],
    ids=["readable", "a link", "a file"],
)
def test_a_folder_that_others_can_use_is_refused(tmp_path, spoil):
    spoil(tmp_path / "toolorch")
    with pytest.raises(BadInputError, match="only you can use"):
        notes_folder({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_without_a_runtime_folder_it_lies_among_temporary_files():
    assert notes_folder({"XDG_RUNTIME_DIR": "/nowhere"}).name == f"toolorch-{os.getuid()}"


def test_notes_of_dead_processes_and_of_others_with_their_number_are_removed(pool, program, tmp_path):
    alive = note(pool(), program())
    write_note(tmp_path, alive)
    write_note(tmp_path, note(pool(), os.getpid()).model_copy(update={"started": 1}))
    (tmp_path / "7.json").write_text("{")
    assert read_notes(tmp_path) == [alive]
    assert [file.name for file in tmp_path.iterdir()] == [alive.file]


def test_a_server_takes_the_place_of_a_replica_that_asks_for_the_same(pool):
    two = pool(replicas=2)
    notes = [note(two, port=1), note(two, port=2, instance="agent-1"), note(two, port=3)]
    assert match([two], notes) == {"agent-0": 1, "agent-1": 2}
    assert match([pool()], notes) == {"agent-0": 1}
    assert match([two], notes[:1]) == {"agent-0": 1}


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda pool: ask(pool(maxModelLen=1000)), id="another command"),
        pytest.param(lambda pool: ask(pool(), HF_HOME="/elsewhere"), id="another environment"),
        pytest.param(lambda pool: ask(pool(chatTemplateKwargs={"enable_thinking": False})), id="another proof"),
        pytest.param(lambda pool: ask(pool(), template="{{ other }}"), id="another chat template"),
        pytest.param(lambda pool: ask(pool(env=[{"name": "ANY", "value": "1"}]), ANY="1"), id="a variable of its own"),
    ],
)  # fmt: skip
def test_a_server_that_was_asked_for_something_else_is_not_taken(pool, other):
    assert match([pool()], [note(pool(), asked=other(pool))]) == {}


def test_what_differs_between_terminals_does_not_matter(pool):
    assert match([pool()], [note(pool(), asked=ask(pool(), SHLVL="2", CUDA_VISIBLE_DEVICES="1"))]) == {"agent-0": 1}


def test_replicas_of_a_pool_share_the_settings_that_the_ladder_came_to(pool):
    settings = [Effective(gpu_memory_utilization=percent) for percent in (85, 95, 85)]
    notes = [note(pool(), port=port, effective=effective) for port, effective in enumerate(settings)]
    assert match([pool(replicas=3)], notes) == {"agent-0": 0, "agent-1": 2}


def test_a_server_on_a_gpu_that_is_not_ours_is_not_taken_but_holds_it(pool):
    servers = [note(pool(), port=1, gpus=["0"]), note(pool(), os.getppid(), port=2, gpus=["1"])]
    kept = match_notes([pool()], servers, {"agent": ask(pool())}, ["1", "2"])
    assert [n.port for n in kept.values()] == [2]
    assert held_gpus(kept, servers) == ({"agent-0": ["1"]}, {"0": "agent-0"})


async def test_a_server_that_does_not_answer_is_not_used(pool):
    assert await answering([note(pool(), port=9)]) == []


async def test_stopping_ends_the_process_and_forgets_it(pool, program, tmp_path):
    kept = note(pool(), program())
    write_note(tmp_path, kept)
    await stop(tmp_path, [kept])
    assert not kept.is_alive
    assert read_notes(tmp_path) == list(tmp_path.iterdir()) == []


async def test_kept_servers_are_listed_and_ended_by_pool(pool, program, tmp_path):
    assert "no servers are kept" in (await list_servers(tmp_path))[0]
    for name in ("agent", "judge"):
        write_note(tmp_path, note(pool(name), program(), f"{name}-0", port=9, gpus=["3"]))
    header, agent, _ = await list_servers(tmp_path)
    assert header.split()[:5] == ["SERVER", "MODEL", "URL", "HEALTH", "GPUS"]
    assert agent.split()[:6] == ["agent-0", "org/model", "http://127.0.0.1:9/v1", "no", "answer", "3"]
    with pytest.raises(BadInputError, match="name the pools"):
        await stop_servers(tmp_path, [], everything=False)
    with pytest.raises(BadInputError, match="no server of pool user is kept"):
        await stop_servers(tmp_path, ["agent", "user"], everything=False)
    assert await stop_servers(tmp_path, ["agent"], everything=False) == ["agent-0 on port 9: ended"]
    assert await stop_servers(tmp_path, [], everything=True) == ["judge-0 on port 9: ended"]
