"""How the real command ends: the exit code says it, a sentence says why, and no program is left behind."""

import os
import signal
import time
from pathlib import Path

import pytest

OOM = [{"name": "MOCK_OOM_ABOVE_UTILIZATION", "value": "50"}]


@pytest.fixture
def marked(tmp_path):
    """A mark for the environment of a command, and a way to find the programs that inherited it."""
    mark = f"{tmp_path}/mark"

    def alive():
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark.encode() in (folder / "environ").read_bytes() and int(folder.name) != os.getpid():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    return mark, alive


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_bad_input_is_2_with_one_sentence_per_mistake(write, documents, start, end):
    path = write(documents.evalrun(trials=0, shards=0), documents.pool("agent"), documents.pool("user"))
    code, out, err = end(start("run", "-f", path))
    assert (code, out) == (2, "")
    assert [line.split(": ")[3] for line in err.splitlines()] == ["spec.trials", "spec.shards"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param(
            {"model": "mock/nobody"}, "toolorch: pool agent: UnclassifiedCrash: agent-0 ended with", id="no model"
        ),
        pytest.param(
            {"model": "mock/oracle", "gpuMemoryUtilization": 60, "env": OOM, "remediation": {"maxAttempts": 1}},
            "toolorch: pool agent: RemediationExhausted: agent-0 ended with CAPTURE_OOM",
            id="a ladder that is used up",
        ),
    ],
)
def test_a_hopeless_pool_is_3_with_its_reason(write, documents, start, end, tmp_path, marked, spec, says):
    mark, alive = marked
    agent = documents.mock_pool("agent", **spec)
    path = write(documents.evalrun(), agent, documents.mock_pool("user", "mock/user"))
    code, _, err = end(start("run", "-f", path, "--output", tmp_path / "runs", MARK=mark))
    assert code == 3, err
    assert err.splitlines()[-1].startswith(says)
    assert "kubectl" not in err
    wait_for(lambda: not alive())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_command_stops_what_it_started(write, documents, start, end, tmp_path, marked, number, code):
    mark, alive = marked
    path = write(
        documents.evalrun(), documents.mock_pool("agent", "mock/oracle"), documents.mock_pool("user", "mock/user")
    )
    arguments = ("run", "-f", path, "--output", tmp_path / "runs")
    command = start(*arguments, MARK=mark, MOCK_START_SECONDS="60")
    wait_for(lambda: list(tmp_path.glob("runs/*/logs/agent-0.log")))
    if number == signal.SIGINT:
        assert "another toolorch works on" in end(start(*arguments))[2]
    command.send_signal(number)
    ended, out, err = end(command)
    assert (ended, out) == (code, ""), err
    assert err.splitlines()[-1].endswith("the same command resumes the run")
    wait_for(lambda: not alive())
