"""The filter, call by call, on both machines: read by an interpreter of BPF, so that no kernel is needed."""

import errno
import struct

import pytest

from toolorch_evaluator.sandbox.bpf import ALLOW, KILL, refuse
from toolorch_evaluator.sandbox.policy import build_filter
from toolorch_evaluator.sandbox.syscalls import ALLOWED, CONDITIONAL, DEADLY, MACHINES, REFUSED, numbers

PID = 4711
EPERM, ENOSYS, ENOTTY = refuse(errno.EPERM), refuse(errno.ENOSYS), refuse(errno.ENOTTY)


def judge(program, architecture, number, arguments=()):
    """Run a filter over one call as the kernel would; returns its action."""
    words = struct.pack("=iIQ6Q", number, architecture, 0, *(*arguments, *[0] * 6)[:6])
    accumulator, place = 0, 0
    while True:
        code, yes, no, constant = struct.unpack_from("=HBBI", program, 8 * place)
        place += 1
        if code == 0x06:
            return constant
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", words, constant)
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x15:
            place += yes if accumulator == constant else no
        else:
            raise AssertionError(f"instruction {code:#x}")


@pytest.fixture(params=MACHINES, scope="module")
def machine(request):
    program, architecture = build_filter(request.param, PID), MACHINES[request.param][1]
    calls = {
        n: c for group in (ALLOWED, CONDITIONAL, REFUSED, DEADLY) for n, c in numbers(group, request.param).items()
    }
    return calls, lambda number, *arguments: judge(program, architecture, number, arguments)


@pytest.mark.parametrize(("group", "action"), [(ALLOWED, ALLOW), (REFUSED, EPERM), (DEADLY, KILL)])
def test_each_group_has_its_action(group, action, machine):
    calls, judged = machine
    names = [row.split()[0] for row in group.split(",")]
    assert {judged(calls[name]) for name in names if name in calls} == {action}


CASES = {
    "a thread": ("clone", (0x3D0F00,), ALLOW),
    "a process": ("clone", (17,), EPERM),
    "a process that shares memory": ("clone", (0x4111,), EPERM),
    "a thread in a new network": ("clone", (0x40010000 | 0x3D0F00,), EPERM),
    "a signal to itself": ("kill", (PID, 15), ALLOW),
    "a signal to another": ("kill", (PID + 1, 9), EPERM),
    "a signal to its group": ("kill", (0, 9), EPERM),
    "a signal to everybody": ("kill", (0xFFFFFFFF, 9), EPERM),
    "a signal to its own thread": ("tgkill", (PID, 99, 6), ALLOW),
    "a signal to another's thread": ("tgkill", (PID + 1, 99, 6), EPERM),
    "its own limits": ("prlimit64", (0, 7), ALLOW),
    "another's limits": ("prlimit64", (1, 7), EPERM),
    "the owner of a pipe": ("fcntl", (3, 8, PID + 1), EPERM),
    "the signal of a pipe": ("fcntl", (3, 10, 9), EPERM),
    "a lock": ("fcntl", (3, 6), ALLOW),
    "is it a terminal": ("ioctl", (1, 0x5401), ALLOW),
    "type into the terminal": ("ioctl", (0, 0x5412), ENOTTY),
    "name a thread": ("prctl", (15,), ALLOW),
    "outlive the parent": ("prctl", (1, 0), EPERM),
    "adopt orphans": ("prctl", (36, 1), EPERM),
    "read a file": ("openat", (0, 0, 0), ALLOW),
    "write a file": ("openat", (0, 0, 0o1101), ALLOW),
    "empty a file by reading it": ("openat", (0, 0, 0o1000), EPERM),
    "empty a file by neither": ("openat", (0, 0, 0o1003), EPERM),
    "pin itself": ("sched_setaffinity", (0,), ALLOW),
    "pin another": ("sched_setaffinity", (1,), EPERM),
}


@pytest.mark.parametrize("case", CASES)
def test_arguments_decide(case, machine):
    calls, judged = machine
    name, arguments, action = CASES[case]
    assert judged(calls[name], *arguments) == action


def test_a_call_that_nobody_listed_does_not_exist(machine):
    _, judged = machine
    assert {judged(number) for number in (435, 437, 319, 447, 9999)} <= {ENOSYS, KILL, EPERM}
    assert judged(435) == judged(437) == judged(9999) == ENOSYS


@pytest.mark.parametrize("machine_name", MACHINES)
def test_calls_of_another_architecture_kill(machine_name):
    program = build_filter(machine_name, PID)
    assert judge(program, 0x40000003, numbers(ALLOWED, machine_name)["getpid"]) == KILL


def test_x32_calls_kill():
    program = build_filter("x86_64", PID)
    assert judge(program, MACHINES["x86_64"][1], 0x40000000 | numbers(ALLOWED, "x86_64")["getpid"]) == KILL


def test_no_call_is_in_two_groups():
    names = [row.split()[0] for group in (ALLOWED, CONDITIONAL, REFUSED, DEADLY) for row in group.split(",")]
    assert len(names) == len(set(names))


def test_an_unknown_machine_has_no_filter():
    with pytest.raises(KeyError):
        build_filter("riscv64", PID)
