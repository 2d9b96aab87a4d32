#!/usr/bin/env python3
"""Measures on the kind cluster what docs/performance.md says, each figure beside its baseline of the same minutes.

usage: bench.py [ROUNDS]   default 5; the chart must be installed as `make demo` does, with examples/pools.yaml Ready
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

import httpx
import zstandard
from bucket import forward_port, open_bucket

ROOT = Path(__file__).resolve().parent.parent
RUN = "bench"
PARALLELISM = 3  # as many as the example's shards
S3 = "deployment/toolorch-s3"


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    """Run kubectl and return what it prints; a failure ends the benchmark with kubectl's own words."""
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def bare_job_seconds(name: str) -> float:
    """Seconds from the apply of a bare Indexed Job to the first line of the first of its processes."""
    container = {
        "name": "bare",
        "image": "toolorch/evaluator:dev",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-S", "-c", "import time; print(time.time())"],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completionMode": "Indexed",
            "completions": PARALLELISM,
            "parallelism": PARALLELISM,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
    begin = time.time()
    kubectl("apply", "-f", "-", stdin=json.dumps(job))
    kubectl("wait", "--for=condition=Complete", f"job/{name}", "--timeout=120s")
    printed = kubectl("logs", "-l", f"job-name={name}", "--tail=1").split()
    kubectl("delete", "job", name, "--wait=true")
    return min(map(float, printed)) - begin


@dataclass(frozen=True)
class Round:
    """One run of the example, in seconds and requests."""

    first_call: float
    complete_after_last_result: float
    whole: float
    api: float
    writes: float
    storage_operator: float
    storage_all: float


def one_round(metrics: str) -> Round:
    """Apply the example's run under another name, follow it to Complete, and read what it left."""
    run = kubectl("create", "--dry-run=client", "-o", "json", "-f", str(ROOT / "examples" / "evalrun.yaml"))
    document = json.loads(run)
    document["metadata"] = {"name": RUN}
    before, requests_before = counters(metrics), s3_requests()
    begin = time.time()
    kubectl("apply", "-f", "-", stdin=json.dumps(document))
    kubectl("wait", "--for=condition=Complete", f"evalrun/{RUN}", "--timeout=300s")
    complete = time.time()
    kubectl("wait", "--for=condition=ReportReady", f"evalrun/{RUN}", "--timeout=120s")
    time.sleep(2)
    after = counters(metrics)
    folder = json.loads(kubectl("get", "evalrun", RUN, "-o", "json"))["status"]["results"]
    requests = s3_requests() - requests_before
    calls, ends = times_of(folder)
    kubectl("delete", "evalrun", RUN, "--wait=true")
    kubectl("wait", "--for=delete", "pod", "-l", f"toolorch.dev/name={RUN}", "--timeout=120s")
    return Round(
        first_call=min(calls) - begin,
        complete_after_last_result=complete - max(ends),
        whole=complete - begin,
        api=after["api"] - before["api"],
        writes=after["writes"] - before["writes"],
        storage_operator=after["storage"] - before["storage"],
        storage_all=requests,
    )


def counters(metrics: str) -> dict[str, float]:
    """Sum the operator's counters of requests."""
    names = {
        "api": "toolorch_api_requests_total",
        "writes": "toolorch_writes_total",
        "storage": "toolorch_storage_requests_total",
    }
    lines = httpx.get(f"{metrics}/metrics", trust_env=False).text.splitlines()
    return {key: sum(float(line.split()[-1]) for line in lines if line.startswith(name)) for key, name in names.items()}


def s3_requests() -> int:
    """Count the lines of the S3 server's access log."""
    return sum(" s3_" in line for line in kubectl("logs", S3).splitlines())


def times_of(folder: str) -> tuple[list[float], list[float]]:
    """Return when model calls began and when units ended, as seconds since the epoch."""
    calls: list[float] = []
    ends: list[float] = []
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    with open_bucket(bucket) as store:
        for page in store.list(prefix):
            for entry in page:
                key = entry["path"]
                if key.endswith("events.jsonl.zst"):
                    raw = zstandard.ZstdDecompressor().stream_reader(bytes(store.get(key).bytes())).read()
                    calls += [seconds(json.loads(line)["at"]) for line in raw.splitlines()]
                elif "/results/" in key:
                    ends.append(seconds(json.loads(bytes(store.get(key).bytes()))["endedAt"]))
    return calls, ends


def seconds(text: str) -> float:
    """Parse an ISO time."""
    return datetime.fromisoformat(text).timestamp()


def table(rounds: list[Round], bare: list[float]) -> str:
    """Format the figures as the rows of docs/performance.md: median, and least to most."""

    def row(name: str, values: list[float], unit: str) -> str:
        return f"| {name} | {median(values):.1f} {unit} | {min(values):.1f} – {max(values):.1f} |"

    first = [r.first_call for r in rounds]
    rows = [
        "| figure | median | least – most |",
        "|---|---|---|",
        row("bare Indexed Job of 3: apply to first process", bare, "s"),
        row("EvalRun: apply to first model call", first, "s"),
        f"| ratio of the two | **{median(first) / median(bare):.1f}** | aim: at most 4 |",
        row("EvalRun: last result to Complete", [r.complete_after_last_result for r in rounds], "s (aim: at most 3)"),
        row("EvalRun: apply to Complete", [r.whole for r in rounds], "s"),
        row("operator: requests to the API server, per run", [r.api for r in rounds], ""),
        row("operator: writes among them", [r.writes for r in rounds], ""),
        row("operator: requests to storage, per run", [r.storage_operator for r in rounds], ""),
        row("all: requests to storage, per run", [r.storage_all for r in rounds], ""),
    ]
    return "\n".join(rows)


def main(count: int) -> None:
    """Measure `count` rounds of each, interleaved."""
    kubectl("set", "env", S3, "VGW_ACCESS_LOG=stdout")
    kubectl("rollout", "status", S3, "--timeout=120s")
    kubectl("apply", "-f", str(ROOT / "examples" / "pools.yaml"))
    kubectl("wait", "--for=condition=Ready", "modelpool", "--all", "--timeout=300s")
    bare: list[float] = []
    rounds: list[Round] = []
    with forward_port("default", "toolorch", 8080) as port:
        metrics = f"http://127.0.0.1:{port}"
        for number in range(count):
            bare.append(bare_job_seconds(f"bare-{number}"))
            rounds.append(one_round(metrics))
            print(f"round {number + 1}: bare {bare[-1]:.1f} s, {rounds[-1]}", file=sys.stderr)
    print(table(rounds, bare))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
