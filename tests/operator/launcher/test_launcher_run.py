"""The launcher around real children: output, exit codes, signals, orphans, limits."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from toolorch_operator import programs
from toolorch_operator.programs import launcher

LAUNCHER = str(Path(launcher.__file__))
DEADLINE_SECONDS = 30
FATAL = "CRITICAL Got fatal signal from worker processes, shutting down. See stack trace above for root cause issue."
SERVED = (
    "INFO Application startup complete.\nEngineCore encountered a fatal error.\ntorch.OutOfMemoryError: CUDA out of\n"
)
OOM = "Available KV cache memory: 1 GiB\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"


class Launched:
    def __init__(self, tmp_path, code, *arguments, command=None, launcher=(LAUNCHER,), **variables):
        self.log = tmp_path / "termination-log"
        command = command or [sys.executable, "-c", code, *arguments]
        self.child = subprocess.Popen(
            [sys.executable, *launcher, "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TOOLORCH_TERMINATION_LOG": str(self.log), **variables},
        )

    def end(self):
        self.out, self.err = self.child.communicate(timeout=DEADLINE_SECONDS)
        self.report = json.loads(self.log.read_text())
        return self.child.returncode


@pytest.fixture
def launch(tmp_path):
    started = []

    def start(code="", *arguments, **options):
        started.append(Launched(tmp_path, code, *arguments, **options))
        return started[-1]

    yield start
    for launched in started:
        launched.child.kill()
        launched.child.wait()
        launched.child.stdout.close()
        launched.child.stderr.close()


@pytest.mark.parametrize(
    ("code", "exit_code", "class_"),
    [
        pytest.param(f"import sys; sys.stderr.write({OOM!r}); sys.exit(1)", 85, "CAPTURE_OOM", id="tells a cause"),
        pytest.param(f"print({OOM!r})", 85, "CAPTURE_OOM", id="tells a cause and pretends that all is well"),
        pytest.param("import sys; sys.exit(7)", 7, "NONE", id="fails without a cause"),
        pytest.param("", 90, "NONE", id="ends by itself as if all were well"),
        pytest.param("import os; os.kill(os.getpid(), 9)", 89, "HOST_OOM", id="is killed"),
        pytest.param("import os; os.kill(os.getpid(), 11)", 139, "NONE", id="dies of a signal"),
        pytest.param("import os; os.kill(os.getpid(), 7)", 88, "SHM", id="finds no room in shared memory"),
        pytest.param(
            f"print({FATAL!r}, flush=True); import os; os.kill(os.getpid(), 9)", 90, "NONE", id="kills itself"
        ),
        pytest.param(f"print({SERVED!r})", 86, "RUN_OOM", id="dies while it serves and pretends that all is well"),
        pytest.param(f"print({SERVED!r}); raise SystemExit(1)", 86, "RUN_OOM", id="dies while it serves"),
    ],
)
def test_the_exit_code_is_the_cause_when_the_server(launch, code, exit_code, class_):
    run = launch(code)
    assert run.end() == exit_code
    assert run.report["class"] == class_
    assert run.report["v"] == 1


def test_a_command_that_is_not_there_is_said_and_reported(launch):
    run = launch(command=["no-such-program"])
    assert run.end() == 127
    assert b"no-such-program" in run.err


WAITS = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(int(sys.argv[1]))))\n"
    "print('up', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.mark.parametrize(("code", "expected"), [("0", 0), ("143", 143), ("5", 5)])
def test_sigterm_is_handed_on_and_is_no_crash(launch, code, expected):
    run = launch(WAITS, code)
    assert run.child.stdout.readline() == b"up\n"
    run.child.send_signal(signal.SIGTERM)
    assert run.end() == expected
    assert run.out == b"bye\n"
    assert run.report["class"] == "NONE"


def test_an_old_cause_does_not_turn_an_orderly_stop_into_a_crash(launch):
    run = launch(f"print({OOM!r})\n{WAITS}", "0")
    while run.child.stdout.readline() != b"up\n":
        pass
    run.child.send_signal(signal.SIGTERM)
    assert run.end() == 0
    assert run.report["class"] == "NONE"


def test_sigterm_during_the_start_is_handed_on_and_says_how_far_it_came(launch):
    run = launch(f"print('INFO Starting to load model m', flush=True)\n{WAITS}", "143")
    while run.child.stdout.readline() != b"up\n":
        pass
    run.child.send_signal(signal.SIGTERM)
    assert run.end() == 143
    assert run.report == {"v": 1, "class": "NONE", "phase": "P1"}


LINE = b"%d %d INFO a line that speaks of memory and of nothing else that matters to anybody"
SPILLS = f"""
import os, threading, time
def spill(fd):
    for n in range(600):
        text = b"".join({LINE!r} % (fd, n) + b"\\n" for _ in range(400))
        while text:
            text = text[os.write(fd, text):]
threads = [threading.Thread(target=spill, args=(fd,)) for fd in (1, 2)]
[t.start() for t in threads]; [t.join() for t in threads]; time.sleep(60)
"""


def expected(fd):
    return b"".join((LINE % (fd, n) + b"\n") * 400 for n in range(600))


def is_spilled(stream, fd):
    text = expected(fd)
    return stream.read(len(text)) == text


def test_large_output_on_both_streams_passes_without_loss_and_is_not_kept(launch):
    run = launch(SPILLS)
    with ThreadPoolExecutor() as readers:
        passed = list(readers.map(is_spilled, (run.child.stdout, run.child.stderr), (1, 2)))
    most = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{run.child.pid}/status").read_text())
    run.child.send_signal(signal.SIGTERM)
    assert run.end() == 143
    assert passed == [True, True]
    assert int(most[1]) < 32 * 1024, "about what a bare Python takes with its modules"


def test_output_is_passed_on_at_once_and_not_only_in_whole_lines(launch):
    run = launch("import sys; sys.stdout.write('half a line'); sys.stdout.flush(); sys.stdin.read(); input()")
    assert os.read(run.child.stdout.fileno(), 100) == b"half a line"
    run.end()


def test_workers_that_outlive_their_server_are_ended_with_it(launch):
    run = launch(
        "import subprocess, sys\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(worker.pid, flush=True)\n"
        "import os; os._exit(4)\n"
    )
    assert run.end() == 4
    worker = Path(f"/proc/{int(run.out)}/stat")
    assert not worker.exists() or worker.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_workers_last_words_count_after_the_server_is_gone(launch):
    words = f"import os, sys, time; os.write(int(sys.argv[1]), b'x'); time.sleep(0.1); print({OOM!r}, flush=True)"
    run = launch(
        "import os, subprocess, sys\n"
        "its_end, own_end = os.pipe()\n"
        f"subprocess.Popen([sys.executable, '-c', {words!r}, str(own_end)], pass_fds=[own_end])\n"
        "os.read(its_end, 1)\n"  # it has started, however long that took
        "os._exit(1)\n"
    )
    assert run.end() == 85


def test_the_server_may_open_as_many_files_as_the_hard_limit_allows(launch):
    run = launch("import resource; print(*resource.getrlimit(resource.RLIMIT_NOFILE))")
    run.end()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert run.out.split() == [str(hard).encode()] * 2


def test_without_a_command_it_says_how_it_is_used():
    done = subprocess.run([sys.executable, LAUNCHER], capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 1
    assert b"launcher.py -- COMMAND" in done.stderr


def test_it_finds_its_other_half_among_the_links_of_a_mounted_folder_and_in_isolation(launch, tmp_path):
    version, mounted = tmp_path / "..2026", tmp_path / "launcher"
    version.mkdir()
    mounted.mkdir()
    for name, text in programs.sources().items():
        (version / name).write_text(text)
        (mounted / name).symlink_to(Path("..") / version.name / name)
    run = launch(f"print({OOM!r})", launcher=("-I", str(mounted / "launcher.py")))
    assert run.end() == 85


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "started"


def test_a_first_start_leaves_its_mark_and_waits_for_nothing(launch, mark):
    run = launch("print('up')", TOOLORCH_START_MARK=str(mark), TOOLORCH_SETTLE_SECONDS="60")
    run.end()
    assert run.out == b"up\n"
    assert mark.exists()


def test_a_restart_in_place_says_that_it_waits_and_then_starts(launch, mark):
    mark.touch()
    run = launch("print('up')", TOOLORCH_START_MARK=str(mark), TOOLORCH_SETTLE_SECONDS="0.05")
    run.end()
    said, up = run.out.splitlines()
    assert said.startswith(b"launcher: ")
    assert b"0.05 s" in said
    assert up == b"up"


@pytest.mark.parametrize(
    ("seconds", "is_marked"),
    [
        pytest.param("0", True, id="no time is asked for"),
        pytest.param("soon", True, id="the time is no number"),
        pytest.param("60", False, id="no mark is asked for"),
    ],
)
def test_nothing_is_waited_for_where(launch, mark, seconds, is_marked):
    mark.touch()
    run = launch("print('up')", TOOLORCH_START_MARK=str(mark) * is_marked, TOOLORCH_SETTLE_SECONDS=seconds)
    run.end()
    assert run.out == b"up\n"


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_while_it_settles_it_starts_nothing(launch, mark, number, expected):
    mark.touch()
    run = launch("print('up')", TOOLORCH_START_MARK=str(mark), TOOLORCH_SETTLE_SECONDS="60")
    assert run.child.stdout.readline().startswith(b"launcher: ")
    run.child.send_signal(number)
    assert run.end() == expected
    assert run.out == b""
    assert run.report["class"] == "NONE"
