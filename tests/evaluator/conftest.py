"""Stored runs, as finished shards leave them, without any shard having run."""

import json
from datetime import UTC, datetime

import pytest

from toolorch_api.keys import MANIFEST_KEY, RUN_KEY, result_key
from toolorch_api.shard import Manifest, Result, Unit

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def store_run():
    """Write a run of one retail task per reward into a folder; None leaves a unit without a result."""

    def store(folder, name, rewards, benchmark="tau2", dataset="d", spec_hash="h"):
        units = [Unit("control", "retail", f"task {i}", 0) for i in range(len(rewards))]
        rows = [(u.variant, u.domain, u.task_id, u.trial) for u in units]
        manifest = Manifest(spec_hash=spec_hash, dataset_hash=dataset, units=rows)
        files = {
            MANIFEST_KEY: manifest.model_dump_json(by_alias=True),
            RUN_KEY: json.dumps({"name": name, "spec": {"benchmark": {"name": benchmark}}}),
        }
        for unit, reward in zip(units, rewards, strict=True):
            if reward is not None:
                result = Result(
                    variant=unit.variant, domain=unit.domain, task_id=unit.task_id, trial=unit.trial,
                    status="passed" if reward == 1 else "failed", reward=reward, started_at=NOON, ended_at=NOON,
                    spec_hash=spec_hash, attempt=1, shard=0, pod="p",
                )  # fmt: skip
                files[result_key(unit)] = result.model_dump_json(by_alias=True)
        for key, text in files.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_text(text)
        return folder

    return store
