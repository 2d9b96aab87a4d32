"""What a run left in storage."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import zstandard

from toolorch_api.unit import Unit

PARALLEL = 16
"""Reads at a time: one after the other, a port-forward's delay is most of it."""


def folder_of(status):
    """Return the folder of a run, below the bucket."""
    return status["results"].removeprefix("s3://evals/")


def read_run(bucket, status, prefix=""):
    """Return everything that a run left below a prefix, as bytes by key."""
    folder = folder_of(status)
    keys = [entry["path"] for page in bucket.list(f"{folder}/{prefix}") for entry in page]
    with ThreadPoolExecutor(PARALLEL) as pool:
        bodies = pool.map(lambda key: bytes(bucket.get(key).bytes()), keys)
        return {key.removeprefix(f"{folder}/"): body for key, body in zip(keys, bodies, strict=True)}


def count_results(bucket, status):
    """Count the results of a run."""
    return sum(len(page) for page in bucket.list(f"{folder_of(status)}/results/"))


class StoredRun:
    """The objects of a run, read."""

    def __init__(self, objects):
        self.objects = objects
        self.results = {
            key.removeprefix("results/").removesuffix(".json"): json.loads(body)
            for key, body in objects.items()
            if key.startswith("results/")
        }
        self.calls = [call for key in objects if key.endswith(".jsonl.zst") for call in _lines(objects[key])]
        found = [json.loads(body) for key, body in objects.items() if key.endswith("/assignment.json")]
        self.assignments = {a["attempt"]: sorted(i for shard in a["shards"] for i in shard) for a in found}

    def read(self, key):
        """Return an object that is JSON."""
        return json.loads(self.objects[key])

    @property
    def units(self):
        """Keys of all units, in the manifest's order."""
        return [Unit(*unit).key for unit in self.read("manifest.json")["units"]]

    def rewards(self):
        """Return unit and reward of every result, as text that is the same for the same outcome."""
        return json.dumps({key: [r["status"], r["reward"]] for key, r in self.results.items()}, sort_keys=True)

    def late_calls(self):
        """Model calls for a unit that began after its result was stored."""
        return [c for c in self.calls if c["unit"] in self.results and c["at"] > self.results[c["unit"]]["endedAt"]]

    def assert_whole(self):
        """Assert that each unit has exactly one result, and that none was run again after it."""
        assert sorted(self.results) == sorted(self.units)
        assert {r["status"] for r in self.results.values()} <= {"passed", "failed"}
        assert self.calls, "the shards wrote down their calls"
        assert self.late_calls() == []


def _lines(body):
    with zstandard.ZstdDecompressor().stream_reader(body) as stream:
        yield from map(json.loads, io.TextIOWrapper(stream, encoding="utf-8"))
