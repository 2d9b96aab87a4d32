"""Runs a model server, passes its output on, and says at its end why it died: `launcher.py -- COMMAND …`.

With crash_story.py it stands alone (standard library, Python 3.8 and newer), since pods mount both from a ConfigMap and
run them with their image's own Python as first process. Its report goes to the file that TOOLORCH_TERMINATION_LOG
names, as JSON. Where TOOLORCH_START_MARK names a file that a first start left behind, the next start first waits for
TOOLORCH_SETTLE_SECONDS: another engine may be starting, and freed GPU memory takes seconds to show.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from toolorch_operator.programs.crash_story import Story
else:
    # As a program of its own, also one that `python -I` keeps from looking beside itself.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from crash_story import Story

REPORT_BYTES = 4096  # what the kubelet reads of a termination message
CHUNK_BYTES = 1 << 16  # a pipe's capacity; longer lines are judged in pieces
SILENCE_SECONDS, LAST_CHUNKS = 0.5, 1000  # what workers may still say after their server is gone
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
STOPS = FORWARDED[:2]
# What an end without an explanation means: the kernel took host memory back, /dev/shm is full, a server just went.
KILLED, BUS_ERROR = 128 + signal.SIGKILL, 128 + signal.SIGBUS
UNTOLD = {KILLED: ("HOST_OOM", 89), BUS_ERROR: ("SHM", 88), 0: ("NONE", 90)}


class Server:
    """The child, its two output streams, and the signals that are meant for it."""

    def __init__(self, command: list[str], story: Story) -> None:
        self.story, self.status = story, -1
        self.waker, alarm = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)  # until there is a child to hand them to
        for number in FORWARDED:
            signal.signal(number, self.forward)
        # In a session of its own it gets each signal once, also from a terminal, and its workers can be ended with it.
        pipe, unblock = subprocess.PIPE, partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, FORWARDED)
        self.child = subprocess.Popen(command, 0, None, None, pipe, pipe, unblock, start_new_session=True)
        unblock()

    def forward(self, number: int, _frame: object = None) -> None:
        """Hand a signal to the child."""
        self.story.is_stopping |= number in STOPS
        if self.status < 0:
            os.kill(self.child.pid, number)  # not yet reaped, so it is still there

    def supervise(self) -> int:
        """Pass all output on until the child is gone and its streams are silent; return its wait status."""
        selector, chunks = selectors.DefaultSelector(), LAST_CHUNKS
        selector.register(self.waker, selectors.EVENT_READ, 0)
        for target, stream in enumerate((self.child.stdout, self.child.stderr), start=1):
            os.set_blocking(target, True)  # what cannot be written at once must not be lost
            selector.register(stream, selectors.EVENT_READ, target)  # type: ignore[arg-type]
        while chunks:
            ready = selector.select(None if self.status < 0 else SILENCE_SECONDS)
            for key, _ in ready:
                if not self._carry(key.fd, key.data):
                    selector.unregister(key.fileobj)
            self._reap()
            is_silent = not ready or len(selector.get_map()) == 1
            chunks -= (chunks if is_silent else 1) if self.status >= 0 else 0
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)  # a worker that outlives its server would keep the GPU
        return self.status

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):  # all children: a first process inherits orphans
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self.child.pid:
                    self.status = self.child.returncode = status
                elif pid == 0:
                    return

    def _carry(self, source: int, target: int) -> bool:
        chunk = os.read(source, CHUNK_BYTES)
        view = memoryview(chunk if target else b"")
        with contextlib.suppress(OSError):  # where nobody reads any more, the story is still worth following
            while view:
                view = view[os.write(target, view) :]
        self.story.feed(target, chunk)
        return bool(chunk)


def conclude(story: Story, status: int) -> int:
    """Return the exit code that names the cause, and settle the class."""
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    if story.is_stopping and code in (0, *(128 + number for number in STOPS)):
        story.name, story.code, story.fields = "NONE", 0, {}
    elif story.name == "NONE" and not story.is_stopping:
        story.name, story.code = UNTOLD.get(0 if story.has_killed_itself and code == KILLED else code, ("NONE", 0))
    return story.code or code


def write_report(story: Story, path: str) -> None:
    """Leave the report where the kubelet looks for it, cut to what it reads; elsewhere there may be no such place."""
    report = story.report()
    while len(json.dumps(report)) > REPORT_BYTES:
        report["msg"] = report["msg"][: len(report["msg"]) * 3 // 4]
    with contextlib.suppress(OSError), open(path, "w") as file:
        file.write(json.dumps(report))


def settle() -> int:
    """Wait where this is a restart in place, for memory to be free again; return the signal that ended it, or 0."""
    mark, seconds = os.environ.get("TOOLORCH_START_MARK", ""), os.environ.get("TOOLORCH_SETTLE_SECONDS", "")
    wait = float(seconds) if re.fullmatch(r"\d+(\.\d*)?", seconds) else 0.0
    is_restart = bool(mark) and os.path.exists(mark)
    with contextlib.suppress(OSError), open(mark, "a"):
        pass
    if not (is_restart and wait):
        return 0
    # Left blocked: the server's start blocks them as well, and hands on what comes between.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    print(f"launcher: a restart in place; the server starts after {seconds} s, when the GPU is settled", flush=True)
    told = signal.sigtimedwait(STOPS, wait)
    return told.si_signo if told else 0


def main(command: list[str]) -> int:
    """Run a command; return its exit code, or 80 to 90 for a cause of its own."""
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1:] * 2)
    story = Story(command)
    try:
        stop = settle()
        code = 128 + stop if stop else conclude(story, Server(command, story).supervise())
    except OSError as error:
        print(f"launcher: cannot run {command[0]}: {error}", file=sys.stderr)
        code = 127
    write_report(story, os.environ.get("TOOLORCH_TERMINATION_LOG", "/dev/termination-log"))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]) if sys.argv[1:2] == ["--"] and sys.argv[2:] else "usage: launcher.py -- COMMAND …")
