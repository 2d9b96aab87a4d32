"""The fetching program around real commands: progress, the size of the weights, failure, and a signal."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolorch_operator.programs import fetch

PROGRAM = str(Path(fetch.__file__))
DEADLINE_SECONDS = 30
MODEL = "org/tiny"
COMMIT = "0123abcd" * 5

# Stands in for the hub's library, which knows how large a model's files are.
HUB = """
class File:
    size = 700
class HfApi:
    def model_info(self, model, revision, files_metadata):
        assert (model, revision, files_metadata) == ("org/tiny", "main", True)
        return type("Model", (), {"siblings": [File(), File()]})
"""


class Started:
    """The program around a Python command, with an environment of its own."""

    def __init__(self, tmp_path, code, *, command=None, program=None, **environ):
        self.log = tmp_path / "termination-log"
        self.folder = tmp_path / "hf" / "hub" / "models--org--tiny"
        command = command or [sys.executable, "-c", code]
        self.child = subprocess.Popen(
            [sys.executable, *(["-c", program] if program else [PROGRAM]), MODEL, "main", "--", *command],
            stdout=subprocess.PIPE,
            text=True,
            env={
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "HF_HOME": str(tmp_path / "hf"),
                "PYTHONPATH": str(tmp_path),
                "TOOLORCH_TERMINATION_LOG": str(self.log),
                **environ,
            },
        )

    def end(self):
        out, _ = self.child.communicate(timeout=DEADLINE_SECONDS)
        self.lines = out.splitlines()
        self.report = json.loads(self.log.read_text())
        return self.child.returncode


@pytest.fixture
def start(tmp_path):
    started = []

    def begin(code="", **more):
        started.append(Started(tmp_path, code, **more))
        return started[-1]

    yield begin
    for program in started:
        program.child.kill()
        program.child.wait()
        program.child.stdout.close()


@pytest.fixture
def cached(tmp_path):
    """Fill a cache as the hub's library does: files by hash, and a snapshot of links to them."""

    def fill(files):
        folder = tmp_path / "hf" / "hub" / "models--org--tiny"
        snapshot = folder / "snapshots" / COMMIT
        for part in (snapshot, folder / "blobs", folder / "refs"):
            part.mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        for number, (name, content) in enumerate(files.items()):
            blob = folder / "blobs" / f"hash-{number}"
            blob.write_text(content)
            (snapshot / name).symlink_to(blob)

    return fill


def test_output_passes_and_the_last_line_tells_what_is_there(start):
    folder = "import os, pathlib; f = pathlib.Path(os.environ['HF_HOME'], 'hub', 'models--org--tiny', 'blobs')"
    run = start(f"{folder}; f.mkdir(parents=True); print('fetching'); (f / 'a.incomplete').write_bytes(b'x' * 900)")
    assert run.end() == 0
    assert run.lines == ["fetching", '{"done": 900, "total": null}']
    assert run.report == {"v": 1, "done": 900, "weights": None}


def test_progress_is_told_while_the_command_runs(start):
    command = [sys.executable, "-c", "import time; time.sleep(0.3)"]
    run = start(program=f"import runpy; runpy.run_path({PROGRAM!r})['main']({MODEL!r}, 'main', {command!r}, 0.01)")
    run.end()
    assert run.lines.count('{"done": 0, "total": null}') > 2


def test_the_hubs_own_command_is_told_its_total(start, tmp_path):
    (tmp_path / "huggingface_hub.py").write_text(HUB)
    command = tmp_path / "hf"
    command.mkdir()
    (command / "hf").write_text("#!/bin/sh\nsleep 0.3\n")
    (command / "hf").chmod(0o755)
    run = start(command=[str(command / "hf")])
    assert run.end() == 0
    assert json.loads(run.lines[-1]) == {"done": 0, "total": 1400}


def test_a_command_that_fails_leaves_its_last_lines_and_no_token(start):
    code = (
        "import os; [print(i) for i in range(99)]\n"
        "print('\\x1b[1mrefused\\x1b[0m', os.environ['HF_TOKEN']); raise SystemExit(3)"
    )
    run = start(code, HF_TOKEN="hf_canary_token")
    assert run.end() == 3
    assert run.report["msg"].endswith("98\nrefused ***")
    assert run.report["msg"].startswith("80\n")


def test_a_long_message_is_cut_to_what_the_kubelet_reads_and_keeps_its_end(start):
    run = start("print('x' * 9000 + ' the cause'); raise SystemExit(1)")
    assert run.end() == 1
    assert len(run.log.read_bytes()) <= 4096
    assert run.report["msg"].endswith("the cause")


def test_a_command_that_is_not_there_is_said(start):
    run = start(command=["no-such-command"])
    assert run.end() == 127
    assert "no-such-command" in run.report["msg"]


def test_a_signal_reaches_the_command(start):
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\ntime.sleep(30)\n"
    )
    run = start(code)
    assert run.child.stdout.readline() == "ready\n"
    run.child.send_signal(signal.SIGTERM)
    assert run.end() == 9


def test_a_killed_command_ends_with_a_shells_code(start):
    run = start("import os; os.kill(os.getpid(), 9)")
    assert run.end() == 137


def test_weights_are_the_files_that_the_index_lists(start, cached):
    index = json.dumps({"weight_map": {"a": "1.safetensors", "b": "1.safetensors", "c": "2.safetensors"}})
    files = {"1.safetensors": 400, "2.safetensors": 300, "more.safetensors": 5000}
    cached({"model.safetensors.index.json": index} | {name: "x" * size for name, size in files.items()})
    run = start()
    run.end()
    assert (run.report["weights"], run.report["commit"]) == (700, COMMIT)
    assert run.report["done"] == 5700 + len(index) + len(COMMIT)


def test_weights_without_an_index_are_all_safetensors_but_a_second_copy(start, cached):
    cached({"model.safetensors": "x" * 400, "consolidated.safetensors": "x" * 400, "readme.md": "x"})
    run = start()
    run.end()
    assert run.report["weights"] == 400
