"""Every attempt to get out fails; a part of them, one per layer and limit at least, is shown to succeed without it."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from toolorch_evaluator.sandbox.check import can_be_shown_here, here, open_range, passes, table
from toolorch_evaluator.sandbox.terms import Ending, Layers

# Showing all of them takes as long again; `toolorch-evaluator sandbox-check` does.
SHOWN = (
    "read the evaluator's environment", "outlive the run in a session of its own", "start too many threads",
    "have a pipe signal the evaluator", "execute a program that only memory holds",
    "connect to a server of this machine", "call by the 32-bit numbers", "fill the memory",
    "fill the disk with files that have no name", "print one endless line",
)  # fmt: skip


@pytest.fixture(scope="module")
def findings(pod_layers):
    """Make all attempts at once: most of their time is waiting."""

    async def attempts():
        # What a program must not find open in its own process.
        left, right = socket.socketpair()
        os.set_inheritable(left.fileno(), True)
        async with open_range(pod_layers) as place:
            found = await asyncio.gather(*(place.attempt(e, show=e.name in SHOWN) for e in here()))
        left.close(), right.close()
        return {finding.escape.name: finding for finding in found}

    return asyncio.run(attempts())


@pytest.mark.parametrize("name", [escape.name for escape in here()])
def test_a_program_cannot(name, findings):
    found = findings[name]
    assert found.held, found.outcome
    assert "program.py" in found.outcome.stderr or found.outcome.ending is not Ending.ERROR, "it failed before it tried"


@pytest.mark.parametrize("name", SHOWN)
def test_without_what_stops_it_a_program_can(name, findings):
    found = next(finding for finding in findings.values() if finding.escape.name == name)
    if not can_be_shown_here(found.escape):
        pytest.skip("this kernel forbids it to everybody")
    assert found.proven, found.shown


def test_calls_that_no_computation_makes_end_the_program(findings):
    deadly = ("trace its keeper", "enter a new user namespace", "use the kernel's keys", "call by the 32-bit numbers")
    assert {findings[name].outcome.ending for name in deadly if name in findings} == {Ending.POLICY}


def test_nothing_is_left_of_a_program_that_was_in_a_session_of_its_own(findings):
    # The keeper ends what the missing filter let go.
    assert findings["outlive the run in a session of its own"].shown.why == ""
    # Other tests' keepers have other parents; what is left alone comes to the first process.
    pids = [pid for pid in os.listdir("/proc") if pid.isdecimal() and "sandbox.keeper" in command_of(pid)]
    assert [pid for pid in pids if parent_of(pid) in (os.getpid(), 1)] == []


def parent_of(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_the_table_has_a_line_for_each_attempt_and_the_verdict_needs_all_of_them(findings):
    text = table(Layers(landlock_version=7), list(findings.values()))
    assert all(name in text for name in findings)
    assert f"{len(findings)} of {len(findings)} attempts held" in text
    assert passes(Layers(), list(findings.values()))
    assert not passes(Layers(kill=False), list(findings.values()))
