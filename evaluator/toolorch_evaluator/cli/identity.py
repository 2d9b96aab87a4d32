"""The identity of a local run: the same documents name the same folder, so that the same command resumes it. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.modelpool import ModelPool

# What of a pool can change results. A cluster needs no such list: there each EvalRun object has a uid of its own.
_POOL_FIELDS = {
    "model", "revision", "served_model_name", "max_model_len", "tool_calling", "reasoning_parser", "extra_args", "env",
    "chat_template_kwargs", "external",
}  # fmt: skip


def run_uid(run: EvalRun, pools: Mapping[str, ModelPool]) -> str:
    """Return 32 hex digits over a run's name, what changes its results, and what of its pools does."""
    parts = {
        "name": run.metadata.name,
        "specHash": spec_hash(run.spec),
        "pools": {name: pool.spec.model_dump(mode="json", include=_POOL_FIELDS) for name, pool in pools.items()},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def identified(run: EvalRun, uid: str) -> EvalRun:
    """Return the run as an API server would have created it, its results going where this machine says."""
    metadata = run.metadata.model_copy(update={"uid": uid, "generation": 1})
    return run.model_copy(update={"metadata": metadata, "spec": run.spec.model_copy(update={"output": None})})


def scaled(run: EvalRun, programs: int) -> EvalRun:
    """Return the run in at most so many shards, with as many units at once over all of them as before.

    A shard is a program here, and more programs than cores cost memory and start-up for nothing.
    """
    shards = min(run.spec.shards, max(1, programs))
    concurrency = -(-run.spec.shards * run.spec.concurrency_per_shard // shards)
    change = {"shards": shards, "concurrency_per_shard": concurrency}
    return run.model_copy(update={"spec": run.spec.model_copy(update=change)})
