"""Programs of a run: ended with their groups, told of their ends, and never left behind."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from toolorch_evaluator.cli.children import Children

STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
# A server whose worker is a program of its own, in the same group, that outlives it.
PARENT = """
import subprocess, sys
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
"""
# As the launcher starts a server: in a session of its own; neither listens to SIGTERM.
LAUNCHER = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], start_new_session=True).pid, flush=True)
time.sleep(60)
"""
# Dies as the command would at SIGKILL: no cleanup runs.
COMMAND = """
import asyncio, os, pathlib, sys
from toolorch_evaluator.cli.children import Children
async def main(folder):
    async with Children(folder / "scratch", grace_seconds=0.2) as children:
        child = await children.start([sys.executable, "-c", sys.argv[2]], os.environ, folder / "log")
        print(child.group, flush=True)
        await child.wait()
asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


def runs(pid):
    """Whether a program runs; one that has ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until(holds, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def end(group):
    os.killpg(group, signal.SIGKILL)
    os.waitpid(group, 0)


async def start(children, folder, code):
    return await children.start([sys.executable, "-c", code], os.environ, folder / "log")


async def test_output_goes_to_the_log_and_the_exit_code_comes_back(tmp_path):
    async with Children(tmp_path / "scratch") as children:
        child = await start(children, tmp_path, "print('hello'); raise SystemExit(42)")
        assert await children.wait(child) == 42
    assert (tmp_path / "log").read_text() == "hello\n"


async def test_an_end_by_signal_is_reported_as_a_container_does(tmp_path):
    async with Children(tmp_path / "scratch") as children:
        child = await start(children, tmp_path, "import os; os.kill(os.getpid(), 9)")
        assert await children.wait(child) == 137


async def test_what_a_dead_server_leaves_behind_is_ended(tmp_path):
    async with Children(tmp_path / "scratch") as children:
        child = await start(children, tmp_path, PARENT)
        await children.wait(child)
    worker = int((tmp_path / "log").read_text())
    wait_until(lambda: not runs(worker))


async def test_leaving_ends_even_what_ignores_sigterm(tmp_path):
    async with Children(tmp_path / "scratch", grace_seconds=0.1) as children:
        child = await start(children, tmp_path, STUBBORN)
        await asyncio.to_thread(wait_until, lambda: "up" in (tmp_path / "log").read_text())
    assert not runs(child.group)


async def test_leaving_ends_what_the_launcher_started_too(tmp_path):
    log = tmp_path / "log"
    async with Children(tmp_path / "scratch", grace_seconds=0.1) as children:
        child = await start(children, tmp_path, LAUNCHER)
        await asyncio.to_thread(wait_until, lambda: log.exists() and "up" in log.read_text())
    server = next(int(line) for line in log.read_text().splitlines() if line.isdigit())
    wait_until(lambda: not runs(server) and not runs(child.group))


async def test_a_released_program_outlives_the_command(tmp_path):
    async with Children(tmp_path / "scratch", grace_seconds=0.1) as children:
        child = await start(children, tmp_path, "import time; time.sleep(60)")
        children.release(child)
    assert runs(child.group)
    end(child.group)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
async def test_nothing_outlives_a_command_that_is_killed(tmp_path, number):
    (tmp_path / "scratch").mkdir()
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, str(tmp_path), STUBBORN, stdout=asyncio.subprocess.PIPE
    )
    group = int(await command.stdout.readline())
    assert runs(group)
    command.send_signal(number)
    await command.wait()
    wait_until(lambda: not runs(group))
    wait_until(lambda: not (tmp_path / "scratch").exists())
