"""One attempt to get out: a program that prints ESCAPED where it succeeds. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolorch_evaluator.sandbox.syscalls import ALLOWED, CONDITIONAL, DEADLY, REFUSED, numbers
from toolorch_evaluator.sandbox.terms import Layer

SUCCESS = "ESCAPED"


@dataclass(frozen=True, slots=True)
class Escape:
    """An attempt; its program may use the names of `preamble`."""

    name: str
    stopped_by: str
    program: str
    lift: tuple[Layer, ...] = ()
    """Without these layers (and without namespaces, which hide what is outside) it succeeds."""
    limits: Mapping[str, Any] = field(default_factory=dict)
    """What a run of it has instead of the suite's limits."""
    loosen: Mapping[str, Any] = field(default_factory=dict)
    """With these limits it succeeds."""
    machines: tuple[str, ...] = ("x86_64", "aarch64")
    needs: str = ""
    """Besides, it succeeds only for `root`, or only without `yama`."""

    @property
    def can_be_shown(self) -> bool:
        """Whether there is something to take away that lets it succeed."""
        return bool(self.lift or self.loosen)


def preamble(machine: str, *, parent: int, outside: str, port: int) -> str:
    """Give a program what it attacks: the evaluator's pid, a folder of ours with `secret` in it, a server's port."""
    calls = {
        name: number
        for group in (ALLOWED, CONDITIONAL, REFUSED, DEADLY)
        for name, number in numbers(group, machine).items()
    }
    return _PREAMBLE.format(parent=parent, outside=outside, port=port, calls=calls, success=SUCCESS)


# Raw calls, so that what is tried is the kernel and not some library's opinion.
_PREAMBLE = """
import ctypes, os, time
PARENT, OUTSIDE, PORT, CALLS = {parent}, {outside!r}, {port}, {calls}
SECRET = OUTSIDE + "/secret"
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    number = ctypes.c_long(CALLS.get(name, name))
    return libc.syscall(number, *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
def escaped_if(success):
    if success:
        print("{success}", flush=True)
"""
