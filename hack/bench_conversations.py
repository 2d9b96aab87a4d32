#!/usr/bin/env python3
"""Measures what a conversation costs the harness itself: CPU per model call, and memory per further conversation.

All 114 retail tasks of τ², against mock servers that answer at once and run in processes of their own, through the real
`toolorch-evaluator shard`. Its CPU is the kernel's count of that process, imports included and told apart.
usage: bench_conversations.py [CONCURRENCY…]     default: 1 8 32
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from toolorch_api.evalrun import EvalRunSpec, spec_hash
from toolorch_api.keys import MANIFEST_KEY, assignment_key
from toolorch_api.shard import Assignment, Endpoint, Endpoints, Manifest, PoolInput, RunInput
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2
from toolorch_evaluator.profile import parse_events

POOLS = {"agent": "mock/oracle", "user": "mock/user"}
START_SECONDS = 60


@dataclass(frozen=True)
class Cost:
    """What one run of a shard took."""

    calls: int
    cpu: float
    wall: float
    megabytes: float


def main(widths: list[int]) -> None:
    """Measure each width and print a table."""
    with ExitStack() as stack:
        urls = {name: stack.enter_context(MockServer(model, name)) for name, model in POOLS.items()}
        idle = _measure(urls, 1, tasks=1)
        print(f"one task, mostly imports: {idle.cpu:.2f} s of CPU, {idle.megabytes:.0f} MB")
        print(f"{'at once':>8} {'calls':>6} {'CPU per call':>13} {'tasks/s':>8} {'peak':>8} {'per conversation':>17}")
        base = None
        for width in widths:
            cost = _measure(urls, width, tasks=None)
            base = base or cost
            further = (cost.megabytes - base.megabytes) / max(1, width - widths[0])
            per_call = (cost.cpu - idle.cpu) / (cost.calls - idle.calls) * 1000
            print(
                f"{width:>8} {cost.calls:>6} {per_call:>10.1f} ms {114 / cost.wall:>8.1f}"
                f" {cost.megabytes:>5.0f} MB {further:>14.2f} MB"
            )


class MockServer:
    """A mock server of a model, for as long as the block runs."""

    def __init__(self, model: str, name: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        command = [sys.executable, "-m", "toolorch_mock", "serve", model, "--served-model-name", name]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--enable-auto-tool-choice"]
        self._command = [*command, "--tool-call-parser", "hermes"]

    def __enter__(self) -> str:
        env = {**os.environ, "MOCK_START_SECONDS": "0"}
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, env=env, stdout=quiet, stderr=quiet)
        for _ in range(START_SECONDS * 10):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=1)
            except OSError:
                time.sleep(0.1)
            else:
                return f"http://127.0.0.1:{self._port}/v1"
        raise SystemExit("the mock server did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def _measure(urls: dict[str, str], width: int, tasks: int | None) -> Cost:
    with tempfile.TemporaryDirectory() as scratch:
        folder, inputs = Path(scratch, "run"), Path(scratch, "input")
        _prepare(folder, inputs, urls, width, tasks)
        env = {**os.environ, "TOOLORCH_INPUT_DIR": str(inputs), "TOOLORCH_ATTEMPT": "1", "TOOLORCH_SHARD": "0"}
        env |= {"TOOLORCH_POD": "bench", "TOOLORCH_TERMINATION_LOG": str(Path(scratch, "word"))}
        began = time.monotonic()
        command = [sys.executable, "-m", "toolorch_evaluator", "shard"]
        shard = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(shard.pid, 0)
        wall = time.monotonic() - began
        shard.returncode = os.waitstatus_to_exitcode(status)
        if shard.returncode:
            raise SystemExit(f"the shard ended with {shard.returncode}")
        passed = [json.loads(f.read_text())["status"] for f in folder.glob("results/**/*.json")]
        assert set(passed) == {"passed"}, "a conversation went wrong: the figures would mean nothing"
        (profile,) = folder.glob("attempts/1/0/*/events.jsonl.zst")
        events = parse_events(profile.read_bytes())
        return Cost(sum(1 for _ in events), used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)


def _prepare(folder: Path, inputs: Path, urls: dict[str, str], width: int, tasks: int | None) -> None:
    """Write what the operator and the plan step write before a shard starts."""
    benchmark = {"name": "tau2", "domains": ["retail"]} | ({"numTasks": tasks} if tasks else {})
    spec = EvalRunSpec.model_validate(
        {
            "benchmark": benchmark,
            "roles": {name: {"pool": name} for name in POOLS},
            "shards": 1,
            "concurrencyPerShard": width,
        }
    )
    hash_, listing = spec_hash(spec), Tau2().list_units(spec)
    pools = {name: PoolInput(model=model, served_model_name=name) for name, model in POOLS.items()}
    run = RunInput(name="bench", namespace="b", uid="u", spec=spec, spec_hash=hash_, root=folder.as_uri(), pools=pools)
    units = [(u.variant, u.domain, u.task_id, u.trial) for u in listing.units]
    manifest = Manifest(spec_hash=hash_, dataset_hash=listing.dataset_hash, units=units)
    assignment = Assignment(spec_hash=hash_, attempt=1, shards=[list(range(len(units)))])
    files = {
        folder / MANIFEST_KEY: manifest.model_dump_json(by_alias=True),
        folder / assignment_key(1): assignment.model_dump_json(by_alias=True),
        inputs / "run.json": run.model_dump_json(by_alias=True),
    }
    for name, url in urls.items():
        told = Endpoints(
            model=POOLS[name], served_model_name=name, endpoints=[Endpoint(name=name, url=url, ready=True)]
        )
        files[inputs / "pools" / name / "endpoints.json"] = told.model_dump_json(by_alias=True)
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 8, 32])
