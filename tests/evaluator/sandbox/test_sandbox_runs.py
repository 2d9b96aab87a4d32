"""Programs in a sandbox: how each way to end is told, and that nothing of them stays."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolorch_evaluator.sandbox.errors import KeeperError
from toolorch_evaluator.sandbox.sandbox import Sandbox
from toolorch_evaluator.sandbox.scratch import remove_tree
from toolorch_evaluator.sandbox.terms import Ending, Layer, Limits

ROOT = str(Path(sys.modules[Sandbox.__module__].__file__).parents[2])
LIMITS = Limits(wall_seconds=20.0, memory_bytes=400 << 20, output_bytes=2000)


@pytest.fixture
def sandbox(pod_layers, tmp_path):
    return Sandbox(pod_layers, LIMITS, folder=str(tmp_path))


PROGRAMS = {
    "a value that is printed": ("print(6 * 7)", Ending.OK, 0, "42\n", ""),
    "nothing at all": ("", Ending.OK, 0, "", ""),
    "characters of any language": ("print('τ²')", Ending.OK, 0, "τ²\n", ""),
    "an exit with a status": ("print(1); exit(3)", Ending.ERROR, 3, "1\n", ""),
    "an exit with a word": ("import sys; sys.exit('no')", Ending.ERROR, 1, "", "no\n"),
    "an exception": ("def f():\n    return 1 / 0\nf()", Ending.ERROR, 1, "", "in f\n    return 1 / 0\n"),
    "what does not parse": ("def f(:", Ending.ERROR, 1, "", "SyntaxError"),
    "a crash": ("import os; os.abort()", Ending.ERROR, -6, "", ""),
    "too little memory": ("x = bytearray(1 << 30)", Ending.MEMORY, 90, "", "MemoryError"),
    "what asks for input": ("input()", Ending.ERROR, 1, "", "EOFError"),
    "a thread": ("import threading as t; t.Thread(target=print, args=(1,)).start()", Ending.OK, 0, "1\n", ""),
    "a file of its own": ("open('f', 'w').write('x'); print(open('f').read())", Ending.OK, 0, "x\n", ""),
    "a main guard": ("if __name__ == '__main__': print(1)", Ending.OK, 0, "1\n", ""),
    "too much output": ("print('x' * 3000)", Ending.OUTPUT, -9, "x" * 2000, ""),
    "a package that holds answers": ("import toolorch_evaluator", Ending.ERROR, 1, "", "ModuleNotFoundError"),
    "its own source": (
        "import inspect\ndef f(): pass\nprint(inspect.getsource(f))",
        Ending.OK,
        0,
        "def f(): pass\n\n",
        "",
    ),
    "another program": ("import subprocess; subprocess.run(['ls'])", Ending.ERROR, 1, "", "PermissionError"),
}


async def test_each_end_is_told_with_what_was_printed(sandbox):
    outcomes = await asyncio.gather(*(sandbox.run(program) for program, *_ in PROGRAMS.values()))
    for (name, (_, ending, status, stdout, stderr)), got in zip(PROGRAMS.items(), outcomes, strict=True):
        assert (name, got.ending, got.status, got.stdout) == (name, ending, status, stdout)
        assert stderr in got.stderr, name
        assert "keeper" not in got.stderr, "a traceback holds the program's frames only"


async def test_a_program_finds_a_fresh_process_with_nothing_in_it(sandbox, tmp_path):
    program = "import os; print(*sorted(os.environ)); print(os.listdir('.')); open('left', 'w').write('x')"
    first, second = [await sandbox.run(program) for _ in range(2)]
    names = "HOME LC_ALL MALLOC_ARENA_MAX MKL_NUM_THREADS OMP_NUM_THREADS OPENBLAS_NUM_THREADS TMPDIR TZ"
    assert first.stdout == second.stdout == f"{names}\n[]\n"
    assert list(tmp_path.iterdir()) == []


async def test_libraries_that_compute_can_be_imported(pod_layers):
    numpy = pytest.importorskip("numpy")
    program = "import importlib.metadata as m, numpy as n; print(n.linalg.det(n.eye(3)), m.version('numpy'))"
    got = await Sandbox(pod_layers, Limits()).run(program)
    assert (got.ending, got.stdout) == (Ending.OK, f"1.0 {numpy.__version__}\n"), got.stderr


async def test_a_program_that_cannot_be_started_is_no_failure_of_the_program(pod_layers, tmp_path):
    with pytest.raises(KeeperError, match="could not be started"):
        await Sandbox(pod_layers, LIMITS, folder=str(tmp_path / "nowhere")).run("print(1)")


async def test_only_so_many_run_at_a_time(pod_layers, tmp_path):
    sandbox = Sandbox(pod_layers, LIMITS, concurrency=1, folder=str(tmp_path))
    program = "import time; print(time.time()); time.sleep(0.1); print(time.time())"
    spans = sorted(got.stdout.split() for got in await asyncio.gather(*(sandbox.run(program) for _ in range(2))))
    assert float(spans[0][1]) <= float(spans[1][0])


async def wait_for(what):
    while not what():  # noqa: ASYNC110  no event tells of it
        await asyncio.sleep(0.01)


SLEEPER = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"


def sleeper_in(folder):
    """Return the process of a program that sleeps, 0 before it does."""
    return next((int(path.read_text() or 0) for path in folder.glob("*/pid")), 0)


async def start_sleeper(sandbox, folder):
    """Start a program that sleeps; returns its task when it is asleep, and its process."""
    task = asyncio.create_task(sandbox.run(SLEEPER))
    await wait_for(lambda: sleeper_in(folder))
    return task, sleeper_in(folder)


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def is_gone(pid):
    """Whether a process has ended, even if whoever adopted it has not looked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_a_cancelled_run_ends_its_program_at_once(sandbox, tmp_path):
    task, pid = await start_sleeper(sandbox, tmp_path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pid)
    assert list(tmp_path.iterdir()) == []


async def test_a_run_that_is_cancelled_while_it_starts_leaves_nothing(sandbox, tmp_path):
    task = asyncio.create_task(sandbox.run("print(1)"))
    await wait_for(lambda: any(tmp_path.iterdir()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(tmp_path.iterdir()) == []


async def test_a_program_dies_with_its_keeper_and_that_is_no_failure_of_the_program(sandbox, tmp_path):
    task, pid = await start_sleeper(sandbox, tmp_path)
    os.kill(parent_of(pid), 9)
    with pytest.raises(KeeperError, match="ended with -9"):
        await task
    await wait_for(lambda: is_gone(pid))
    assert list(tmp_path.iterdir()) == []


# The evaluator blocks SIGTERM while it starts, and children inherit that.
_EVALUATOR = """
import asyncio, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGTERM}})
sys.path.insert(0, {root!r})
from toolorch_evaluator.sandbox.sandbox import Sandbox
from toolorch_evaluator.sandbox.terms import Layer, Limits
layers = [layer for layer in Layer if layer != "namespaces"]
asyncio.run(Sandbox(layers, Limits(), folder={folder!r}).run({program!r}))
"""


def test_a_program_dies_with_the_evaluator(pod_layers, tmp_path):
    evaluator = subprocess.Popen(
        [sys.executable, "-c", _EVALUATOR.format(root=ROOT, folder=str(tmp_path), program=SLEEPER)]
    )
    try:
        asyncio.run(wait_for(lambda: sleeper_in(tmp_path)))
        pid = sleeper_in(tmp_path)
    finally:
        evaluator.kill()
        evaluator.wait()
    asyncio.run(wait_for(lambda: is_gone(pid)))


def children():
    """Process ids, of the dead that nobody waited for too; other tests of this process may have left some."""
    return {pid for pid in os.listdir("/proc") if pid.isdigit() and is_child(pid)}


def is_child(pid):
    try:
        return parent_of(pid) == os.getpid()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_many_runs_leave_no_descriptor_no_process_and_no_folder(pod_layers, tmp_path):
    sandbox = Sandbox(pod_layers, LIMITS, concurrency=8, folder=str(tmp_path))
    await sandbox.run("")  # what is opened once stays open
    before = len(os.listdir("/proc/self/fd")), children()
    await asyncio.gather(*(sandbox.run("print(1)") for _ in range(12)))
    assert (len(os.listdir("/proc/self/fd")), children()) == before
    assert list(tmp_path.iterdir()) == []


async def test_namespaces_are_put_on_where_they_are_allowed(pod_layers, tmp_path):
    sandbox = Sandbox([*pod_layers, Layer.NAMESPACES], LIMITS, folder=str(tmp_path))
    program = "import os; print(os.getpid()); s = os.statvfs('.'); print(s.f_bsize * s.f_blocks)"
    try:
        got = await sandbox.run(program)
    except KeeperError as error:
        pytest.skip(f"namespaces are not allowed here: {error}")
    assert got.stdout == f"1\n{LIMITS.scratch_bytes}\n", got.stderr
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_deep_or_closed_are_removed(tmp_path):
    top = tmp_path / "top"
    (top / "closed" / "inner").mkdir(parents=True)
    (top / "closed" / "file").write_text("x")
    (top / "link").symlink_to(tmp_path)
    (top / "closed").chmod(0)
    here = Path.cwd()
    os.chdir(top)
    try:
        for _ in range(4096 // 200 + 2):  # longer than any path may be
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(here)
    remove_tree(str(top))
    remove_tree(str(top))
    assert list(tmp_path.iterdir()) == []


def test_the_confined_side_imports_nothing_but_the_standard_library():
    listing = "import sys; sys.path.append(sys.argv[1]); import toolorch_evaluator.sandbox.keeper; print(*sys.modules)"
    got = subprocess.run([sys.executable, "-I", "-S", "-c", listing, ROOT], capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in got.stdout.split()}
    assert tops - sys.stdlib_module_names == {"toolorch_evaluator", "__main__"} - sys.stdlib_module_names
    assert not tops & {"dataclasses", "typing", "asyncio"}, "each takes longer to import than all the layers to put on"
