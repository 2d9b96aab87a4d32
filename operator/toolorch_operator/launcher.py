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
import time
from typing import Any

REPORT_BYTES = 4096  # what the kubelet reads of a termination message
CHUNK_BYTES = LONGEST_LINE = 1 << 16  # a pipe's capacity; longer lines are judged in pieces
SILENCE_SECONDS, FAREWELL_SECONDS = 0.5, 10.0  # workers may still name the cause after their server is gone
FORWARDED = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
STOPPED = (0, 128 + signal.SIGINT, 128 + signal.SIGTERM)
ENDED_WITHOUT_CAUSE = 90

# Class, exit code, text: the more specific first, since a general error often precedes the sentence that explains it.
SIGNATURES = tuple((name, code, re.compile(text)) for name, code, text in (
    ("SHM", 88, rb"Error while creating shared memory segment|/dev/shm.*No space left|No space left.*/dev/shm"),
    ("FREE_LT", 80, rb"Free memory on device(?: \S+)? \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup is less"
                    rb" than desired GPU memory utilization \((?P<gmu>[\d.]+),"),
    ("KV_NONE", 83, rb"No available memory for the cache blocks"),
    ("KV_SMALL", 84, rb"max seq len \((?P<mml>\d+)\), \((?P<need>[\d.]+) GiB KV cache is needed, which is larger than"
                     rb" the available KV cache memory \((?P<avail>[\d.]+) GiB\)"
                     rb"(?:.*?estimated maximum model length is (?P<est>\d+))?"),
    ("KV_SMALL_V0", 84, rb"max seq len \((?P<mml>\d+)\) is larger than the maximum number of tokens that can be stored"
                        rb" in KV cache \((?P<est>\d+)\)"),
    ("AUTOFIT", 83, rb"Cannot auto-fit max_model_len"),
    ("MAMBA", 90, rb"exceeds available Mamba cache blocks"),
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
    (2, b"Loading model weights took"), (2, b"Encoder cache will be initialized"), (2, b"Profiling CUDA graph memory"),
    (3, b"Available KV cache memory"), (3, b"Memory profiling takes"), (3, b"KV cache size"), (3, b"# GPU blocks:"),
    (3, b"Capturing the model for CUDA graphs"), (4, b"Application startup complete"),
    (4, b"init engine (profile, create kv cache, warmup model) took"), (4, b"EngineCore encountered a fatal error"),
)  # fmt: skip
# Where no marker was seen, the innermost of these functions in the traceback tells the phase.
FRAMES = (
    (1, b"in load_model"), (2, b"in profile_run"), (2, b"in determine_available_memory"), (3, b"in capture_model"),
    (2, b"in determine_num_available_blocks"), (3, b"in _warm_up_model"), (3, b"in _allocate_kv_cache"),
)  # fmt: skip
# Every text that matters holds one of these; to look for a few fixed words is fast.
CAUSE_WORDS = (b"emory", b"ALLOC_FAILED", b"seq len (", b"Mamba", b"auto-fit", b"/dev/shm", b": -9", b"EngineCore enc")
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
        whole = len(block) if not chunk or len(block) > LONGEST_LINE else block.rfind(b"\n") + 1
        self.rest[stream] = block[whole:]
        self.scan(block[:whole])

    def scan(self, block: bytes) -> None:
        """Judge the lines that hold a word that matters, in their order."""
        starts = set()
        for word in CAUSE_WORDS if self.phase == 4 else CAUSE_WORDS + START_WORDS:
            at = block.find(word)
            while at >= 0:
                starts.add(block.rfind(b"\n", 0, at) + 1)
                end = block.find(b"\n", at)
                at = block.find(word, end) if end >= 0 else -1
        for start in sorted(starts):
            end = block.find(b"\n", start)
            self.judge(block[start : end if end >= 0 else len(block)])

    def judge(self, line: bytes) -> None:
        """Follow the phase; take a cause that is more specific than the one so far."""
        self.phase = max([self.phase] + [phase for phase, text in MARKERS if text in line])
        self.frame = max([phase for phase, text in FRAMES if text in line] or [self.frame])
        for rank, (name, code, pattern) in enumerate(SIGNATURES[: 0 if self.is_stopping else self.rank]):
            match = pattern.search(line)
            if match:
                phase = self.phase or self.frame
                self.rank, (self.name, self.code) = rank, (name, code)
                if name == "CUDA_OOM":
                    self.name, self.code = BY_PHASE.get(phase, (name, code))
                self.note(match, phase)
                return

    def note(self, match: re.Match[bytes], phase: int) -> None:
        """Keep what the report tells of a cause: its phase, numbers and line."""
        numbers = {key: value for key, value in match.groupdict().items() if value}
        self.fields = {key: value for key, value in self.fields.items() if key == "gmu"}
        self.fields["phase"] = f"P{phase}"
        for key, value in numbers.items():
            self.fields[key] = int(value) if key in ("mml", "est") else float(value)
        line = match.string[max(0, match.start() - 200) : match.start() + REPORT_BYTES]
        self.fields["msg"] = line.decode("utf-8", "replace").strip()


class Server:
    """The child, its two output streams, and the signals that are meant for it."""

    def __init__(self, command: list[str], story: Story) -> None:
        self.story, self.pid, self.status = story, 0, -1
        self.early: list[int] = []
        self.waker, sleeper = os.pipe()
        for end in (self.waker, sleeper):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(sleeper, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop
        for name in FORWARDED:
            signal.signal(getattr(signal, name), self.forward)
        # In a session of its own it gets each signal once, also from a terminal, and its workers can be ended with it.
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(command, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True)
        self.pid = self.child.pid
        for number in self.early:
            self.forward(number)

    def forward(self, number: int, _frame: object = None) -> None:
        """Hand a signal to the child, or keep it until there is one."""
        self.story.is_stopping |= number in (signal.SIGTERM, signal.SIGINT)
        if not self.pid:
            self.early.append(number)
        elif self.status < 0:
            os.kill(self.pid, number)  # not yet reaped, so it is still there

    def reap(self) -> None:
        """Take the ends of all children: a first process inherits orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == self.pid:
                self.status = self.child.returncode = status
            elif pid == 0:
                return

    def supervise(self) -> int:
        """Pass all output on until the child is gone and its streams are silent; return its wait status."""
        selector = selectors.DefaultSelector()
        selector.register(self.waker, selectors.EVENT_READ, 0)
        for target, stream in ((1, self.child.stdout), (2, self.child.stderr)):
            selector.register(stream, selectors.EVENT_READ, target)  # type: ignore[arg-type]
        until = float("inf")
        while time.monotonic() < until:
            ready = selector.select(None if self.status < 0 else SILENCE_SECONDS)
            for key, _ in ready:
                if not self.carry(key.fd, key.data):
                    selector.unregister(key.fileobj)
            self.reap()
            if self.status >= 0 and (not ready or len(selector.get_map()) == 1):
                break
            if self.status >= 0 and until == float("inf"):
                until = time.monotonic() + FAREWELL_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # a worker that outlives its server would keep the GPU
        return self.status

    def carry(self, source: int, target: int) -> bool:
        """Pass one piece of output on; False at the end of the stream."""
        chunk = os.read(source, CHUNK_BYTES)
        if target:
            pass_on(target, chunk)
            self.story.feed(target, chunk)
        return bool(chunk)


def pass_on(target: int, chunk: bytes) -> None:
    """Write all of a chunk; where nobody reads any more, the story is still worth following."""
    view = memoryview(chunk)
    with contextlib.suppress(OSError):
        while view:
            view = view[os.write(target, view) :]


def conclude(story: Story, status: int) -> int:
    """Return the exit code that names the cause, and settle the class."""
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    if story.is_stopping and code in STOPPED:
        story.name, story.code = "NONE", 0
        story.fields.pop("msg", None)
    elif story.name == "NONE" and code == 128 + signal.SIGKILL and not story.is_stopping:
        story.name, story.code = "HOST_OOM", 89
    elif story.name == "NONE" and code == 0:
        story.code = ENDED_WITHOUT_CAUSE
    return story.code or code


def write_report(story: Story, path: str) -> None:
    """Leave the report where the kubelet looks for it, cut to the size that it reads."""
    report = {"v": 1, "class": story.name, "phase": f"P{story.phase}", **story.fields}
    if story.name == "CUDA_OOM":
        del report["phase"]  # unknown, which is why it has this class
    while len(json.dumps(report)) > REPORT_BYTES:
        report["msg"] = report["msg"][: len(report["msg"]) * 3 // 4]
    try:
        with open(path, "w") as file:
            file.write(json.dumps(report))
    except OSError as error:
        print(f"launcher: no report: {error}", file=sys.stderr)


def main(arguments: list[str]) -> int:
    """Run the command after `--`; return its exit code, or 80 to 90 for a cause of its own."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print("usage: launcher.py -- COMMAND [ARGUMENT …]", file=sys.stderr)
        return 2
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    story = Story(command)
    try:
        code = conclude(story, Server(command, story).supervise())
    except OSError as error:
        print(f"launcher: cannot run {command[0]}: {error}", file=sys.stderr)
        code = 127
    write_report(story, os.environ.get("TOOLORCH_TERMINATION_LOG", "/dev/termination-log"))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
