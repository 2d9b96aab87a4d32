"""The executable as a process: log, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from toolorch_mock.__main__ import run
from toolorch_mock.executable import install_vllm
from toolorch_mock.faults import Crash

DEADLINE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_mock(*arguments: str, **faults: str) -> int:
    return run(arguments, {"MOCK_START_SECONDS": "0", **faults})


def test_an_engine_above_the_limit_dies_of_memory_with_exit_code_1(capsys):
    arguments = ("serve", "mock/oracle", "--gpu-memory-utilization", "0.95")
    assert run_mock(*arguments, MOCK_OOM_ABOVE_UTILIZATION="88") == 1
    log = capsys.readouterr().err
    assert "(EngineCore_DP0 pid=" in log
    assert "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate" in log
    assert "Engine core initialization failed. See root cause above." in log.splitlines()[-1]


@pytest.mark.parametrize("crash", [crash for crash in Crash if crash is not Crash.RUN_OOM])
def test_a_named_crash_ends_a_start_with_exit_code_1(crash, capsys):
    assert run_mock("serve", "mock/oracle", MOCK_CRASH=crash) == 1
    assert "Engine core initialization failed. See root cause above." in capsys.readouterr().err.splitlines()[-1]


def test_a_start_that_is_to_race_is_counted_in_the_home_folder(tmp_path, capsys):
    assert run_mock("serve", "mock/oracle", MOCK_RACE_STARTS="1", HOME=str(tmp_path)) == 1
    assert "Error in memory profiling. Initial free memory" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["1"]


def test_an_unknown_mock_model_cannot_be_loaded(capsys):
    assert run_mock("serve", "mock/orcale") == 1
    assert "mock/orcale is not a local folder" in capsys.readouterr().err


def test_a_bad_fault_variable_ends_with_exit_code_2(capsys):
    assert run_mock("serve", "mock/idle", MOCK_LATENCY_MS="soon") == 2
    assert capsys.readouterr().err == "MOCK_LATENCY_MS is 'soon'; a number from 0 to 86400000 is allowed.\n"


def test_an_unknown_argument_ends_the_process_with_exit_code_2(tmp_path):
    command = [str(install_vllm(tmp_path / "bin")), "serve", "mock/idle", "--bogus"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert ended.returncode == 2
    assert "vllm: error: unrecognized arguments: --bogus" in ended.stderr


def wait_healthy(port: int) -> None:
    ends = time.monotonic() + DEADLINE
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as response:
                assert response.status == 200
                return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError


def test_a_server_below_the_limit_serves_and_ends_with_0_at_sigterm(tmp_path):
    port = free_port()
    script = str(install_vllm(tmp_path / "bin"))
    command = [
        script,
        "serve",
        "mock/oracle",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--gpu-memory-utilization",
        ".85",
    ]
    environment = {**os.environ, "MOCK_OOM_ABOVE_UTILIZATION": "88"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            wait_healthy(port)
            server.send_signal(signal.SIGTERM)
            _, log = server.communicate(timeout=DEADLINE)
        finally:
            server.kill()
    assert server.returncode == 0
    assert "init engine (profile, create kv cache, warmup model) took" in log
    assert "Application startup complete." in log


def test_an_engine_that_dies_at_run_time_ends_the_process_with_0(tmp_path):
    port = free_port()
    script = str(install_vllm(tmp_path / "bin"))
    command = [script, "serve", "mock/oracle", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MOCK_CRASH": "RUN_OOM", "MOCK_SERVED_NAME": "other", "MOCK_START_SECONDS": "0"}
    body = json.dumps({"model": "other", "messages": [{"role": "user", "content": "Hello"}]}).encode()
    question = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            wait_healthy(port)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=DEADLINE) as models:
                assert [model["id"] for model in json.load(models)["data"]] == ["other"]
            with pytest.raises(urllib.error.HTTPError, match="500"):
                urllib.request.urlopen(question, timeout=DEADLINE)
            _, log = server.communicate(timeout=DEADLINE)
        finally:
            server.kill()
    assert server.returncode == 0
    told = ["EngineCore encountered a fatal error.", "torch.OutOfMemoryError: CUDA out of memory", "EngineDeadError: "]
    places = [log.index(text) for text in ["Application startup complete.", *told, "Application shutdown complete."]]
    assert places == sorted(places)


def test_sigterm_while_starting_ends_as_vllm_does(tmp_path):
    script = str(install_vllm(tmp_path / "bin"))
    environment = {**os.environ, "MOCK_START_SECONDS": "60"}
    with subprocess.Popen([script, "serve", "mock/idle"], env=environment, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert "API server version" in server.stderr.readline()
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=DEADLINE)
    assert server.returncode == 130
    assert "KeyboardInterrupt: terminated" in log
