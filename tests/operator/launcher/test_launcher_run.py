"""The launcher around real children: output, exit codes, signals, orphans, limits."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolorch_operator.programs import launcher

LAUNCHER = str(Path(launcher.__file__))
DEADLINE_SECONDS = 30
OOM = "Available KV cache memory: 1 GiB\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"


class Launched:
    def __init__(self, tmp_path, code, *arguments, command=None):
        self.log = tmp_path / "termination-log"
        command = command or [sys.executable, "-c", code, *arguments]
        self.child = subprocess.Popen(
            [sys.executable, LAUNCHER, "--", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "TOOLORCH_TERMINATION_LOG": str(self.log)},
        )

    def end(self):
        self.out, self.err = self.child.communicate(timeout=DEADLINE_SECONDS)
        self.report = json.loads(self.log.read_text())
        return self.child.returncode


@pytest.fixture
def launch(tmp_path):
    started = []

    def start(code="", *arguments, command=None):
        started.append(Launched(tmp_path, code, *arguments, command=command))
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


def test_large_output_on_both_streams_passes_without_loss(launch):
    run = launch(
        "import os, threading\n"
        "line = b'0123456789abcdef' * 64 + b'\\n'\n"
        "def spill(fd):\n"
        "    with os.fdopen(fd, 'wb') as stream:\n"
        "        for n in range(20000): stream.write(b'%d ' % n + line)\n"
        "threads = [threading.Thread(target=spill, args=(fd,)) for fd in (1, 2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]; os._exit(3)\n"
    )
    assert run.end() == 3
    expected = b"".join(b"%d " % n + b"0123456789abcdef" * 64 + b"\n" for n in range(20000))
    digests = {hashlib.sha256(stream).hexdigest() for stream in (run.out, run.err)}
    assert digests == {hashlib.sha256(expected).hexdigest()}


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
    words = f"import time; time.sleep(0.2); print({OOM!r}, flush=True)"
    run = launch(f"import os, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {words!r}])\nos._exit(1)\n")
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
