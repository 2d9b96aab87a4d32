"""Every example runs on this machine, its pools played by mocks: the oracle passes each task, by the way it is meant.

They need no cluster, but more time than the unit tests have.
"""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import yaml
from mocked_examples import shrink

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TOOLORCH = [sys.executable, "-m", "toolorch_evaluator.cli"]
SECONDS = 300
# Folder, file beside its pools, and how the roles begin that its results must tell of.
RUNS = [
    ("tau2-experts", "evalrun", ["agent", "user", "expert-"]),
    ("tau2-local", "evalrun", ["agent", "user", "expert-"]),
    ("questions-experts", "hle", ["agent", "reasoner-1", "search-1", "answer-1"]),
    ("questions-experts", "frames", ["agent", "reasoner-1", "search-1", "answer-1"]),
    ("questions-nvidia", "hle", ["agent", "reasoner-1", "search-1", "answer-1"]),
    ("emotional-users", "evalrun", ["agent", "user"]),
]


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory):
    """A search service over our own documents; its URL."""
    folder = tmp_path_factory.mktemp("index")
    command = [sys.executable, "-m", "toolorch_evaluator"]
    subprocess.run([*command, "index", "sample://documents", folder.as_uri()], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = subprocess.Popen([*command, "retrieve", folder.as_uri(), f"--port={port}"], stderr=subprocess.DEVNULL)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    while not _answers(url):
        assert time.monotonic() < end
        time.sleep(0.2)
    yield url
    program.terminate()
    program.wait()


def _answers(url):
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture
def here(tmp_path):
    """Run the real command in a folder of the test, where no kept server of somebody else is."""
    (tmp_path / "notes").mkdir()

    def here(*arguments, **more):
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "notes"), "MOCK_START_SECONDS": "0", **more}
        command = [*TOOLORCH, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    return here


def results(folder):
    found = [json.loads(path.read_bytes()) for path in folder.glob("toolorch-runs/*/results/**/*.json")]
    assert found
    return found


@pytest.mark.parametrize(("folder", "name", "called"), RUNS, ids=[f"{folder}-{name}" for folder, name, _ in RUNS])
def test_the_oracle_passes_every_example_by_the_roles_that_it_names(tmp_path, here, retrieval, folder, name, called):
    place = EXAMPLES / folder
    small = tmp_path / "small.yaml"
    small.write_text(shrink([place / "pools.yaml", place / f"{name}.yaml"], 2, retrieval))
    done = here("run", "-f", small)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)
    assert {result["status"] for result in found} == {"passed"}
    roles = {role for result in found for role in result["calls"]}
    assert [start for start in called if not any(role.startswith(start) for role in roles)] == []
    assert {result["variant"] for result in found} == (
        {"control", "frustration", "anxiety", "anger", "confusion"} if folder == "emotional-users" else {"control"}
    )


SWEEP = EXAMPLES / "taubench-sweep"
MATRIX = {"domain": ["retail"], "strategy": ["act", "tool-calling"], "model": ["qwen3-4b", "qwen3-8b"]}


@pytest.fixture
def sweep(tmp_path):
    """The sweep's files at a small size, four runs; and the start of the command."""
    small = tmp_path / "small.yaml"
    small.write_text(shrink([SWEEP / "pools.yaml", SWEEP / "sweep.yaml"], 1, "", MATRIX))
    return ["sweep", "-f", small, "--csv", tmp_path / "table.csv"]


def table(folder):
    return list(csv.DictReader((folder / "table.csv").read_text().splitlines()))


def test_a_sweep_keeps_servers_between_runs_ends_them_and_adds_only_what_is_missing(tmp_path, here, sweep):
    done = here(*sweep)
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path)
    assert [(row["domain"], row["strategy"], row["model"]) for row in rows] == [
        ("retail", "act", "qwen3-4b"), ("retail", "act", "qwen3-8b"), ("retail", "tool-calling", "qwen3-4b"),
        ("retail", "tool-calling", "qwen3-8b"),
    ]  # fmt: skip
    assert {(row["score"], row["pass^2"], row["total"]) for row in rows} == {("1.000", "1.000", "2")}
    # Each model's runs come one after the other: the second takes over its server, three of four the user's.
    assert done.stderr.count("qwen3-4b-0: reuses the server") == done.stderr.count("qwen3-8b-0: reuses the server") == 1
    assert done.stderr.count("user-sim-0: reuses the server") == 3
    assert "no servers are kept" in here("servers").stdout
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("toolorch-runs/*/results/**/*.json")}
    (gone,) = [path for path in written if "taubench-retail-act-qwen3-8b" in str(path) and path.stem == "1"]
    gone.unlink()
    _forget_end(gone)
    again = here(*sweep)
    assert again.returncode == 0, again.stderr
    assert "1 of 1: taubench-retail-act-qwen3-8b" in again.stderr
    kept = {path for path, at in written.items() if path.stat().st_mtime_ns == at}
    assert kept == written.keys() - {gone}
    assert table(tmp_path) == rows


def _forget_end(result):
    """Leave a run's folder as an interrupted one does: without a verdict."""
    run = next(parent for parent in result.parents if (parent / "status.json").exists())
    (run / "status.json").unlink()


def test_a_run_that_fails_does_not_keep_the_others_from_running(tmp_path, here, sweep):
    small = tmp_path / "small.yaml"
    documents = list(yaml.safe_load_all(small.read_text()))
    (pool,) = [d for d in documents if d["metadata"]["name"] == "qwen3-4b"]
    # Its calls are written for another parser than its own, which the preflight finds.
    pool["spec"]["env"] = [{"name": "MOCK_TOOL_FORMAT", "value": "mistral"}]
    small.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    done = here(*sweep)
    assert done.returncode == 3, done.stderr
    assert "2 of 4 runs failed: taubench-retail-act-qwen3-4b" in done.stderr
    assert {(row["model"], row["score"]) for row in table(tmp_path)} == {("qwen3-4b", ""), ("qwen3-8b", "1.000")}
    assert "no servers are kept" in here("servers").stdout


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_a_sweep_that_is_killed_leaves_no_server_behind_and_goes_on(tmp_path, here, sweep, how):
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "notes"), "MARK": str(tmp_path)}
    command = [*TOOLORCH, *map(str, sweep)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as program:
        # In the second run its servers are taken over from the first.
        assert any(line.startswith("2 of 4") for line in program.stderr)
        program.send_signal(how)
        program.stderr.read()
    end = time.monotonic() + SECONDS
    while left := _programs_with(f"MARK={tmp_path}"):
        assert time.monotonic() < end, left
        time.sleep(0.1)
    done = here(*sweep)
    assert done.returncode == 0, done.stderr
    assert "1 of 3" in done.stderr


def _programs_with(mark):
    """Running programs that were started with this in their environment, by pid."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found
