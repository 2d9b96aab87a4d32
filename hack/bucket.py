#!/usr/bin/env python3
"""Copies a folder out of the cluster's demo bucket.

usage: bucket.py URI FOLDER     URI as a run's status says it, such as s3://evals/runs/tau2-smoke-1a2b3c4d/report
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore.store import S3Store

SERVICE = "toolorch-s3"
SECRET = "toolorch-s3"


@contextmanager
def forward_port(namespace: str, service: str, port: int) -> Iterator[int]:
    """Forward a free local port to a Service for as long as the block runs."""
    command = ["kubectl", "--namespace", namespace, "port-forward", f"service/{service}", f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        # Forwarding from 127.0.0.1:40213 -> 7070
        line = process.stdout.readline()
        if not line.startswith("Forwarding from 127.0.0.1:"):
            raise SystemExit(f"kubectl port-forward: {line.strip()}")
        yield int(line.split("127.0.0.1:")[1].split()[0])
    finally:
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def read_secret(namespace: str, name: str) -> dict[str, str]:
    """Return a Secret's keys and values."""
    command = ["kubectl", "--namespace", namespace, "get", "secret", name, "-o", "jsonpath={.data}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {key: base64.b64decode(value).decode() for key, value in json.loads(text).items()}


@contextmanager
def open_bucket(bucket: str, namespace: str = "default") -> Iterator[S3Store]:
    """Open a bucket of the S3 server that the chart's demo values run."""
    secret = read_secret(namespace, SECRET)
    with forward_port(namespace, SERVICE, 7070) as port:
        yield S3Store(
            bucket,
            endpoint=f"http://127.0.0.1:{port}",
            region=secret["AWS_REGION"],
            access_key_id=secret["AWS_ACCESS_KEY_ID"],
            secret_access_key=secret["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True},
        )


def copy(uri: str, folder: Path) -> int:
    """Copy every object below a URI into a folder, and return how many there were."""
    bucket, _, prefix = uri.removeprefix("s3://").strip("/").partition("/")
    copied = 0
    with open_bucket(bucket) as store:
        for page in store.list(prefix=prefix):
            for entry in page:
                target = folder / entry["path"].removeprefix(prefix).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(bytes(store.get(entry["path"]).bytes()))
                copied += 1
    return copied


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    if not copy(sys.argv[1], Path(sys.argv[2])):
        raise SystemExit(f"nothing lies at {sys.argv[1]}")
