"""Examples at a small size: every pool a mock, one task or two, one shard, the questions and documents our own."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
_IMAGE = "toolorch/mock-vllm:dev"


def shrink(files: Iterable[Path], tasks: int, retrieval: str, matrix: dict[str, list[Any]] | None = None) -> str:
    """Return the documents of files as one YAML text; `matrix` takes the place of a Sweep's."""
    documents = [d for file in files for d in yaml.safe_load_all(file.read_text())]
    runs = [_smaller(d, tasks, retrieval, matrix) for d in documents if d["kind"] != "ModelPool"]
    users = {d["spec"]["roles"]["user"]["pool"] for d in runs if "user" in d["spec"]["roles"]}
    pools = [_mock(d, d["metadata"]["name"] in users) for d in documents if d["kind"] == "ModelPool"]
    return yaml.safe_dump_all([*pools, *runs], sort_keys=False)


def _mock(pool: Document, is_user: bool) -> Document:
    model = "mock/user" if is_user else "mock/oracle"
    tools = {} if is_user else {"toolCalling": {"parser": "hermes"}}
    return {**pool, "spec": {"model": model, "image": _IMAGE, **tools}}


def _smaller(document: Document, tasks: int, retrieval: str, matrix: dict[str, list[Any]] | None) -> Document:
    smaller = copy.deepcopy(document)
    spec = smaller["spec"]
    spec |= {"shards": 1, "trials": min(2, spec.get("trials", 1))}
    benchmark = spec["benchmark"]
    benchmark["numTasks"] = tasks
    if "dataset" in benchmark:
        benchmark["dataset"] = {"uri": "sample://questions"}
        spec["roles"]["retrieval"] = {"url": retrieval}
    if matrix is not None:
        smaller["matrix"] |= matrix
    return smaller
