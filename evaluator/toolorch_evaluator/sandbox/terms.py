"""The sandbox's words: its layers, a program's limits, how one ended. PURE."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from toolorch_evaluator.sandbox.errors import KeeperError

# SIGKILL and SIGSYS, as subprocess counts them.
_KILLED, _BAD_CALL = -9, -31
# What the confined process exits with when memory ran out: `confine.MEMORY_EXIT`, which a test holds equal.
MEMORY_EXIT = 90


# The kernel ends a process by one clock and reports its time by another; 0.06 s apart were seen in the first second.
_CLOCKS_DIFFER_SECONDS = 0.2


class Layer(StrEnum):
    """One thing that stands between a program and everything else."""

    NO_NEW_PRIVS = "no_new_privs"
    RLIMITS = "rlimits"
    LANDLOCK = "landlock"
    CAPABILITIES = "capabilities"
    SECCOMP = "seccomp"
    NAMESPACES = "namespaces"


REQUIRED = (Layer.NO_NEW_PRIVS, Layer.RLIMITS, Layer.LANDLOCK, Layer.CAPABILITIES, Layer.SECCOMP)
"""What the sandbox needs; namespaces come on top where they are allowed."""


class Ending(StrEnum):
    """Why a program ended."""

    OK = "ok"
    ERROR = "error"
    """It raised, exited with a status, or crashed."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    POLICY = "policy"
    """It called what no computation calls, or had too many threads or files."""
    OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use."""

    wall_seconds: float = 60.0
    cpu_seconds: int = 60
    """Over all threads."""
    memory_bytes: int = 2 << 30
    """Of address space, shared libraries included; numpy and scipy take 0.4 GB of it before they compute."""
    output_bytes: int = 64 << 10
    """Of standard output, and as much of standard error."""
    file_bytes: int = 16 << 20
    scratch_bytes: int = 64 << 20
    scratch_files: int = 1000
    open_files: int = 64
    threads: int = 16

    def rlimits(self, *, own_users: bool) -> dict[str, int]:
        """Return the kernel's limits by name.

        RLIMIT_NPROC counts a user's threads on the whole node, other pods' included, unless the user is of an own
        namespace: there it is exact, with the keeper and the first thread on top; elsewhere the keeper counts.
        """
        return {
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0,
        } | ({"RLIMIT_NPROC": self.threads + 2} if own_users else {})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program printed and how it ended."""

    ending: Ending
    stdout: str
    stderr: str
    status: int
    """Exit status; negative: the signal that ended it."""
    wall_seconds: float
    cpu_seconds: float
    why: str = ""
    """One clause where the sandbox ended it."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Which layers work on this machine, found by trying each on a process of its own."""

    missing: Mapping[Layer, str] = field(default_factory=dict)
    """What the kernel said, by layer."""
    landlock_version: int = 0
    kill: bool = True
    """A program that sleeps is ended in time."""

    @property
    def working(self) -> tuple[Layer, ...]:
        """The layers that can be put on."""
        return tuple(layer for layer in Layer if layer not in self.missing)


def outcome(report: Mapping[str, Any], limits: Limits, required: Collection[str]) -> Outcome:
    """Read a keeper's report; raises KeeperError where the program did not run, or not as it had to."""
    failed = {name: error for name, error in report["layers"].items() if error}
    if lacking := [f"{name}: {error}" for name, error in failed.items() if name in required or name == "setup"]:
        raise KeeperError(f"the program was not run ({'; '.join(lacking)}) {report['stderr'][-300:]}".rstrip())
    ending, why = _ending(report["killed"], report["status"], report["cpu_seconds"], limits)
    if not report["alone"]:
        ending, why = Ending.POLICY, "it left processes behind"
    return Outcome(
        ending=ending, why=why, stdout=report["stdout"], stderr=report["stderr"], status=report["status"],
        wall_seconds=report["wall_seconds"], cpu_seconds=report["cpu_seconds"],
    )  # fmt: skip


def _ending(killed: str, status: int, cpu_seconds: float, limits: Limits) -> tuple[Ending, str]:
    if killed == "timeout":
        return Ending.TIMEOUT, f"it ran for {limits.wall_seconds:g} s"
    if killed == "output":
        return Ending.OUTPUT, f"it printed more than {limits.output_bytes} bytes"
    if killed:
        return Ending.POLICY, killed
    if status == _BAD_CALL:
        return Ending.POLICY, "it made a system call that no computation makes"
    if status == _KILLED and cpu_seconds >= limits.cpu_seconds - _CLOCKS_DIFFER_SECONDS:
        return Ending.TIMEOUT, f"it computed for {limits.cpu_seconds} s"
    if status == MEMORY_EXIT:
        return Ending.MEMORY, f"it needed more than {limits.memory_bytes} bytes of memory"
    if status == _KILLED:
        return Ending.MEMORY, "the kernel killed it, as it does where memory runs out"
    return (Ending.ERROR, "") if status else (Ending.OK, "")
