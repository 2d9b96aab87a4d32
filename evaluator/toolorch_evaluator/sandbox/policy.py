"""Which system calls a confined program may make, as a filter for one process. PURE; only the standard library.

A list of what is allowed: a call that is not on it does not exist (ENOSYS), so that libraries take their fallbacks, and
calls of kernels to come are closed until somebody opens them.
"""

from __future__ import annotations

import errno

from toolorch_evaluator.sandbox.bpf import ALLOW, KILL, Rule, assemble, refuse
from toolorch_evaluator.sandbox.syscalls import ALLOWED, CONDITIONAL, DEADLY, MACHINES, REFUSED, numbers

_WHOLE = 0xFFFFFFFF
# linux/sched.h: a thread of this process, and every kind of new namespace.
_THREAD, _NEW_NAMESPACES = 0x00010000, 0x7E020000
# linux/prctl.h: names of threads and of memory (glibc names its arenas), and questions.
_PRCTL = (3, 15, 16, 21, 39, 0x53564D41)
# linux/fcntl.h: duplicates, flags, locks, seals. Not F_SETOWN and F_SETSIG, which send signals to other processes.
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032, 1034)
# asm-generic/ioctls.h: is it a terminal, how much can be read, blocking, close on exec.
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# asm-generic/fcntl.h. Before its version 3, Landlock does not ask who may empty a file that is opened for reading.
_ACCESS_MODE, _TRUNCATE = 0o3, 0o1000
# asm/unistd.h: the x32 calls carry this bit and the architecture of x86-64.
_X32 = {"x86_64": 0x40000000}


def build_filter(machine: str, pid: int) -> bytes:
    """Build the filter of the process `pid` on a machine, as uname names it; raises KeyError for an unknown machine."""
    rules = _conditional(numbers(CONDITIONAL, machine), pid)
    for group, action in ((ALLOWED, ALLOW), (REFUSED, refuse(errno.EPERM)), (DEADLY, KILL)):
        rules += [(number, (), action) for number in numbers(group, machine).values()]
    return assemble(MACHINES[machine][1], _X32.get(machine, 0), rules, refuse(errno.ENOSYS))


def _conditional(calls: dict[str, int], pid: int) -> list[Rule]:
    """Rules that look at arguments; each call ends with a rule that always holds."""
    own, me = ((0, _WHOLE, pid),), ((0, _WHOLE, 0),)
    rules: list[Rule] = [(calls[name], own, ALLOW) for name in ("kill", "tgkill", "sched_setaffinity", "prlimit64")]
    rules += [(calls[name], me, ALLOW) for name in ("sched_setaffinity", "prlimit64")]
    rules.append((calls["clone"], ((0, _THREAD | _NEW_NAMESPACES, _THREAD),), ALLOW))
    rules += [(calls["prctl"], ((0, _WHOLE, option),), ALLOW) for option in _PRCTL]
    rules += [(calls["fcntl"], ((1, _WHOLE, command),), ALLOW) for command in _FCNTL]
    rules += [(calls["ioctl"], ((1, _WHOLE, request),), ALLOW) for request in _IOCTL]
    rules.append((calls["ioctl"], (), refuse(errno.ENOTTY)))
    for name, flags in (("open", 1), ("openat", 2)):
        if name in calls:
            rules += [
                (calls[name], ((flags, _TRUNCATE | _ACCESS_MODE, _TRUNCATE | mode),), refuse(errno.EPERM))
                for mode in (0, _ACCESS_MODE)
            ]
            rules.append((calls[name], (), ALLOW))
    refused = ("kill", "tgkill", "sched_setaffinity", "prlimit64", "clone", "prctl", "fcntl")
    return [*rules, *((calls[name], (), refuse(errno.EPERM)) for name in refused)]
