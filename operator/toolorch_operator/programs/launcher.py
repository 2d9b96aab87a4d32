"""Runs a model server, passes its output on, and says at its end why it died: `launcher.py -- COMMAND …`.

It stands alone (standard library, Python 3.8 and newer), since pods mount it from a ConfigMap and run it with their
image's own Python as first process. Its report goes to the file that TOOLORCH_TERMINATION_LOG names, as JSON.
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
from typing import Any

REPORT_BYTES = 4096  # what the kubelet reads of a termination message
CHUNK_BYTES = 1 << 16  # a pipe's capacity; longer lines are judged in pieces
SILENCE_SECONDS, LAST_CHUNKS = 0.5, 1000  # what workers may still say after their server is gone
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
STOPS = FORWARDED[:2]

# Class, exit code, text: the more specific first, since a general error often precedes the sentence that explains it.
SIGNATURES = tuple((name, code, re.compile(text)) for name, code, text in (
    ("SHM", 88, rb"Error while creating shared memory segment|/dev/shm.*No space left|No space left.*/dev/shm"),
    ("FREE_LT", 80, rb"Free memory on device(?: \S+)? \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less"
                    rb" than desired GPU memory utilization \((?P<gmu>[\d.]+),"),
    ("KV_NONE", 83, rb"No available memory for the cache blocks"),
    ("KV_SMALL", 84, rb"max seq len \((?P<mml>\d+)\), \((?P<need>[\d.]+) GiB KV cache is needed[^(]*\((?P<avail>[\d.]+)"
                     rb" GiB\)(?:.*?estimated maximum model length is (?P<est>\d+))?"),
    ("KV_SMALL_V0", 84, rb"max seq len \((?P<mml>\d+)\) is larger than [^(]* stored in KV cache \((?P<est>\d+)\)"),
    ("AUTOFIT", 83, rb"Cannot auto-fit max_model_len"),
    ("RACE", 87, rb"Error in memory profiling"),
    ("LOAD_OOM", 81, rb"Failed to load model - not enough GPU memory"),
    ("SAMPLER_OOM", 82, rb"out of memory occurred when warming up (?:sampler|pooler)"),
    ("CUDA_OOM", 90, rb"torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory|CUDA [Ee]rror: out of memory"
                     rb"|CUBLAS_STATUS_ALLOC_FAILED|Cuda failure.{0,8}out of memory"),
    ("HOST_OOM", 89, rb"died unexpectedly \(exit code: -9\)|Failed core proc\(s\): \{[^}]*: -9\b"),
))  # fmt: skip
BY_PHASE = {1: ("LOAD_OOM", 81), 2: ("PROFILE_OOM", 82), 3: ("CAPTURE_OOM", 85), 4: ("RUN_OOM", 86)}

# A start's phases: 1 weights are loaded, 2 memory is profiled, 3 KV cache and graphs are made, 4 it serves.
MARKERS = (
    (1, b"Starting to load model"), (1, b"Loading model from scratch"), (2, b"Model loading took"),
    (2, b"Loading model weights took"), (3, b"Available KV cache memory"), (3, b"Memory profiling takes"),
    (3, b"KV cache size"), (3, b"# GPU blocks:"), (3, b"Capturing the model for CUDA graphs"),
    (4, b"init engine (profile, create kv cache, warmup model) took"), (4, b"Application startup complete"),
    (4, b"EngineCore encountered a fatal error"),
)  # fmt: skip
# Where no marker was seen, the innermost of these functions in the traceback tells the phase.
FRAMES = (
    (1, b"in load_model"), (2, b"in profile_run"), (2, b"in determine_available_memory"), (3, b"in capture_model"),
    (2, b"in determine_num_available_blocks"), (3, b"in _warm_up_model"), (3, b"in _allocate_kv_cache"),
)  # fmt: skip
# Every text that matters holds one of these; to look for a few fixed words is fast.
CAUSE_WORDS = (b"emory", b"ALLOC_FAILED", b"seq len (", b"auto-fit", b"/dev/shm", b": -9", b"EngineCore enc")
START_WORDS = tuple(text for _, text in MARKERS + FRAMES if not any(word in text for word in CAUSE_WORDS))


class Story:
    """What the output told so far: the phase, and the best explanation of the server's end."""

    def __init__(self, command: list[str]) -> None:
        self.phase = self.frame = 0
        self.rank, self.name, self.code = len(SIGNATURES), "NONE", 0
        self.is_stopping = False  # what a server says after it was told to go is no cause
        self.rest: dict[int, bytes] = {}
        told = re.search(r"--gpu-memory-utilization[ =](\d*\.?\d+)", " ".join(command))
        self.fields: dict[str, Any] = {"gmu": float(told.group(1))} if told else {}

    def feed(self, stream: int, chunk: bytes) -> None:
        """Read on in one of the streams; a line may come in several chunks, and an empty chunk ends the last one."""
        block = self.rest.get(stream, b"") + chunk
        whole = len(block) if not chunk or len(block) > CHUNK_BYTES else block.rfind(b"\n") + 1
        self.rest[stream] = block[whole:]
        self._scan(block[:whole])

    def _scan(self, block: bytes) -> None:
        words = CAUSE_WORDS if self.phase == 4 else CAUSE_WORDS + START_WORDS
        for line in block.split(b"\n") if any(word in block for word in words) else ():
            if any(word in line for word in words):
                self._judge(line)

    def _judge(self, line: bytes) -> None:
        self.phase = max([self.phase] + [phase for phase, text in MARKERS if text in line])
        self.frame = max([phase for phase, text in FRAMES if text in line] or [self.frame])
        for rank, (name, code, pattern) in enumerate(SIGNATURES[: 0 if self.is_stopping else self.rank]):
            match = pattern.search(line)
            if match:
                self.rank, self.name, self.code = rank, name, code
                self._note(match, self.phase or self.frame)
                return

    def _note(self, match: re.Match[bytes], phase: int) -> None:
        if self.name == "CUDA_OOM":
            self.name, self.code = BY_PHASE.get(phase, (self.name, self.code))
        line = match.string[max(0, match.start() - 200) : match.start() + REPORT_BYTES]
        self.fields = {key: value for key, value in self.fields.items() if key == "gmu"}
        self.fields.update(phase=f"P{phase}", msg=line.decode("utf-8", "replace").strip())
        self.fields.update((k, int(v) if k in ("mml", "est") else float(v)) for k, v in match.groupdict().items() if v)


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
    elif story.name == "NONE" and not story.is_stopping and code in (0, 128 + signal.SIGKILL):
        story.name, story.code = ("HOST_OOM", 89) if code else ("NONE", 90)
    return story.code or code


def write_report(story: Story, path: str) -> None:
    """Leave the report where the kubelet looks for it, cut to what it reads; elsewhere there may be no such place."""
    report = {"v": 1, "class": story.name, "phase": f"P{story.phase}", **story.fields}
    while len(json.dumps(report)) > REPORT_BYTES:
        report["msg"] = report["msg"][: len(report["msg"]) * 3 // 4]
    with contextlib.suppress(OSError), open(path, "w") as file:
        file.write(json.dumps(report))


def main(command: list[str]) -> int:
    """Run a command; return its exit code, or 80 to 90 for a cause of its own."""
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE)[1:] * 2)
    story = Story(command)
    try:
        code = conclude(story, Server(command, story).supervise())
    except OSError as error:
        print(f"launcher: cannot run {command[0]}: {error}", file=sys.stderr)
        code = 127
    write_report(story, os.environ.get("TOOLORCH_TERMINATION_LOG", "/dev/termination-log"))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]) if sys.argv[1:2] == ["--"] and sys.argv[2:] else "usage: launcher.py -- COMMAND …")
