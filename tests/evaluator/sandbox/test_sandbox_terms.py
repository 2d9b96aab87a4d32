"""How a keeper's report is read: why a program ended, and when it did not run at all."""

import pytest

from toolorch_evaluator.sandbox import confine, terms
from toolorch_evaluator.sandbox.errors import KeeperError
from toolorch_evaluator.sandbox.terms import REQUIRED, Ending, Limits, outcome

LIMITS = Limits(wall_seconds=5, cpu_seconds=3)
REPORT = {
    "layers": dict.fromkeys(REQUIRED, ""), "status": 0, "killed": "", "alone": True, "wall_seconds": 1.0,
    "cpu_seconds": 0.5, "stdout": "out", "stderr": "err",
}  # fmt: skip

ENDS = {
    "it came to its end": ({}, Ending.OK, ""),
    "it raised": ({"status": 1}, Ending.ERROR, ""),
    "it crashed": ({"status": -11}, Ending.ERROR, ""),
    "it slept too long": ({"status": -9, "killed": "timeout"}, Ending.TIMEOUT, "it ran for 5 s"),
    "it computed too long": ({"status": -9, "cpu_seconds": 2.95}, Ending.TIMEOUT, "it computed for 3 s"),
    "memory ran out": ({"status": 90}, Ending.MEMORY, "it needed more than 2147483648 bytes of memory"),
    "the node's memory ran out": (
        {"status": -9},
        Ending.MEMORY,
        "the kernel killed it, as it does where memory runs out",
    ),
    "it printed too much": ({"status": -9, "killed": "output"}, Ending.OUTPUT, "it printed more than 65536 bytes"),
    "it called what is deadly": ({"status": -31}, Ending.POLICY, "it made a system call that no computation makes"),
    "it had too many threads": ({"status": -9, "killed": "it has too many"}, Ending.POLICY, "it has too many"),
    "others of it outran the keeper": ({"alone": False}, Ending.POLICY, "it left processes behind"),
}


@pytest.mark.parametrize("case", ENDS)
def test_an_end_has_its_reason(case):
    change, ending, why = ENDS[case]
    got = outcome({**REPORT, **change}, LIMITS, REQUIRED)
    assert (got.ending, got.why, got.stdout, got.stderr) == (ending, why, "out", "err")


@pytest.mark.parametrize("layers", [{"landlock": "no such call"}, {"setup": "the confined process broke"}])
def test_a_program_whose_layers_failed_did_not_run(layers):
    with pytest.raises(KeeperError, match=next(iter(layers.values()))):
        outcome({**REPORT, "layers": layers}, LIMITS, REQUIRED)


def test_a_layer_that_nobody_asked_for_may_fail():
    assert outcome({**REPORT, "layers": {"namespaces": "forbidden"}}, LIMITS, REQUIRED).ending is Ending.OK


def test_a_lack_of_memory_has_one_number():
    assert terms.MEMORY_EXIT == confine.MEMORY_EXIT


def test_threads_of_a_user_are_limited_where_they_are_counted_for_this_program_alone():
    assert "RLIMIT_NPROC" not in LIMITS.rlimits(own_users=False)
    assert LIMITS.rlimits(own_users=True)["RLIMIT_NPROC"] == LIMITS.threads + 2
