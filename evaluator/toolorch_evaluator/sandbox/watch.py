"""What a keeper sees of its program from outside: threads, files, descendants. EDGE; only the standard library."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

# Descendants are killed as they are found; a bomb that outruns this many rounds is left to the pod's end.
_ROUNDS = 200
_ROUND_PAUSE_SECONDS = 0.005
# The unit of st_blocks, whatever the file system's own is (stat(2)).
_BLOCK = 512


def count_threads(pid: int) -> int:
    """Return the number of a process's threads; 0 where it is gone."""
    fields = _stat(pid)
    return int(fields[17]) if fields else 0


def measure(folder: str, pid: int, max_bytes: int, max_files: int) -> str:
    """Say what is too much in a scratch folder, counting files that the process has open and no name leads to."""
    used = files = 0
    try:
        for size in chain(_sizes(folder), _nameless(pid)):
            used, files = used + size, files + 1
            if used > max_bytes:
                return "its files are too large"
            if files > max_files:
                return "it made too many files"
    except OSError as error:
        return f"its folders cannot be followed: {error.strerror}"
    return ""


def _sizes(folder: str) -> Iterator[int]:
    """Yield what each file below a folder takes; the program goes on meanwhile, so some may be gone when looked at."""
    pending = [folder]
    while pending:
        with suppress(FileNotFoundError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    yield _BLOCK * entry.stat(follow_symlinks=False).st_blocks
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)


def _nameless(pid: int) -> Iterator[int]:
    descriptors = f"/proc/{pid}/fd"
    try:
        names = os.listdir(descriptors)
    except OSError:
        return
    for name in names:
        try:
            status = os.stat(f"{descriptors}/{name}")
        except OSError:
            continue
        if status.st_nlink == 0:
            yield _BLOCK * status.st_blocks


def end_descendants() -> bool:
    """Kill and reap every process that is left below this one; False where some outrun it."""
    for _ in range(_ROUNDS):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        for pid in _children(os.getpid()):
            os.kill(pid, signal.SIGKILL)
        time.sleep(_ROUND_PAUSE_SECONDS)
    return False


def _children(parent: int) -> list[int]:
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return [pid for pid in pids if (fields := _stat(pid)) and int(fields[1]) == parent]


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on: state, parent, …"""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
