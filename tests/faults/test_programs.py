"""Programs of the ground end with whoever started them, killed or not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patient import PATIENCE
from programs import Program, die_with_parent

SUPPORT = Path(__file__).parent / "support"
STARTS_ONE = """
import pathlib, sys, time
sys.path.insert(0, sys.argv[1])
from programs import Program
print(Program(["sleep", "60"], pathlib.Path(sys.argv[2])).pid, flush=True)
time.sleep(60)
"""


def test_a_program_is_gone_when_its_starter_was_killed(tmp_path):
    command = [sys.executable, "-c", STARTS_ONE, SUPPORT, tmp_path / "log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent) as starter:
        started = int(starter.stdout.readline())
        assert _runs(started)
        starter.send_signal(signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while _runs(started):
        assert time.monotonic() < end, "it runs on"
        time.sleep(0.02)


def test_a_program_that_ended_by_itself_is_named_with_its_last_words(tmp_path):
    program = Program(["sh", "-c", "echo no room; exit 3"], tmp_path / "log")
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(AssertionError, match="sh ended with 3:\nno room"):
        program.check()
    program.kill()


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
