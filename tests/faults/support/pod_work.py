"""What plan, shard and report pods leave in storage, written with the contract's own types."""

import asyncio
import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from toolorch_api.figures import span, wilson_interval
from toolorch_api.keys import MANIFEST_KEY, SUMMARY_KEY, assignment_key, progress_key, result_key
from toolorch_api.run_input import RunInput
from toolorch_api.shard import Assignment, Manifest, Progress, Result, Summary

UNITS = [("control", domain, str(task), 0) for domain in ("retail", "airline") for task in range(3)]
SCHEME = "file://"
UNIT_SECONDS = 0.1


class NotThere(Exception):
    """Something that the pod needs is not in storage."""


class Evaluation:
    """One pod of a run."""

    def __init__(self, story, pod, may_finish):
        meta = pod["metadata"]
        self._story, self._may_finish, self._name = story, may_finish, meta["name"]
        self._step, self._run = meta["labels"]["toolorch.dev/step"], meta["labels"]["toolorch.dev/name"]
        self._attempt = int(next(e["value"] for e in env_of(pod) if e["name"] == "TOOLORCH_ATTEMPT"))
        self._index = int(meta.get("annotations", {}).get("batch.kubernetes.io/job-completion-index", 0))

    async def run(self):
        """Do the pod's work; raise NotThere where it cannot."""
        await self._mount()
        step = {"plan": self._plan, "shard": self._shard, "report": self._report}[self._step]
        await step()

    async def _mount(self):
        # A pod whose ConfigMap is not there waits for it.
        name = f"{self._run}-input"
        found = await self._story.until(lambda: self._story.find("ConfigMap", name), 60, f"ConfigMap {name}")
        self._told = RunInput.model_validate(json.loads(found["data"]["run.json"]))
        self._folder = Folder(Path(self._told.root.removeprefix(SCHEME)), self._story)

    async def _plan(self):
        manifest = Manifest(spec_hash=self._told.spec_hash, dataset_hash="d", units=UNITS)
        self._folder.create(MANIFEST_KEY, manifest)

    async def _shard(self):
        manifest = self._folder.need(MANIFEST_KEY, Manifest)
        mine = self._folder.need(assignment_key(self._attempt), Assignment).shards[self._index]
        started, ends = datetime.now(UTC), []
        self._write_progress(manifest, mine, started, ends, finished=False)
        for index in mine:
            unit = manifest.unit(index)
            if self._folder.read(result_key(unit)) is not None:
                continue
            await asyncio.sleep(UNIT_SECONDS)
            await self._may_finish.wait()
            ends.append(datetime.now(UTC))
            self._story.executed[unit.key] += 1
            self._folder.create(result_key(unit), self._result(unit, index, started, ends[-1]))
        self._write_progress(manifest, mine, started, ends, finished=True)

    def _result(self, unit, index, started, ended):
        passed = index % 2 == 0
        return Result(
            variant=unit.variant, domain=unit.domain, task_id=unit.task_id, trial=unit.trial,
            status="passed" if passed else "failed", reward=float(passed), started_at=started, ended_at=ended,
            spec_hash=self._told.spec_hash, attempt=self._attempt, shard=self._index, pod=self._name,
        )  # fmt: skip

    def _write_progress(self, manifest, mine, started, ends, *, finished):
        known = [self._folder.read(result_key(manifest.unit(i)), Result) for i in mine]
        passed = [r for r in known if r is not None and r.status == "passed"]
        done = [r for r in known if r is not None]
        told = Progress(
            spec_hash=self._told.spec_hash, attempt=self._attempt, shard=self._index, pod=self._name, total=len(mine),
            passed=len(passed), failed=len(done) - len(passed), running=0 if finished else 1, recent_ends=ends,
            recent_seconds=[UNIT_SECONDS] * len(ends), last_answer_at=ends[-1] if ends else None,
            started_at=started - timedelta(seconds=1), updated_at=datetime.now(UTC), finished=finished,
        )  # fmt: skip
        self._folder.put(progress_key(self._attempt, self._index), told)

    async def _report(self):
        manifest = self._folder.need(MANIFEST_KEY, Manifest)
        keys = [result_key(manifest.unit(i)) for i in range(len(manifest.units))]
        results = [r for r in (self._folder.read(key, Result) for key in keys) if r is not None]
        passed, total = sum(r.status == "passed" for r in results), len(keys)
        summary = Summary(
            spec_hash=self._told.spec_hash, total=total, scored=len(results), passed=passed,
            failed=len(results) - passed, infra_errors=0, score=f"{passed / max(1, len(results)):.3f}",
            score_scheduled=f"{passed / total:.3f}", interval=span(wilson_interval(passed, len(results))),
            interval_scheduled=span(wilson_interval(passed, total)), attempt=self._attempt,
        )  # fmt: skip
        self._folder.put(SUMMARY_KEY, summary)


class Folder:
    """A run's folder as its pods write it: whole objects or none."""

    def __init__(self, root, story):
        self._root, self._story = root, story

    def read(self, key, model=None):
        """Return an object, or None where it is not there."""
        path = self._root / key
        if not path.exists():
            return None
        body = path.read_bytes()
        return body if model is None else model.model_validate_json(body)

    def need(self, key, model):
        """Return an object that must be there."""
        found = self.read(key, model)
        if found is None:
            raise NotThere(f"{key} is not in storage")
        return found

    def create(self, key, value):
        """Write an object that is written once; the first one counts."""
        body = value.model_dump_json(by_alias=True).encode()
        fresh = self._write_beside(key, body)
        try:
            os.link(fresh, self._root / key)
        except FileExistsError:
            if digest(self.read(key)) != digest(body):
                self._story.tampered.append(key)
        finally:
            fresh.unlink()

    def put(self, key, value):
        """Write an object that its writer replaces."""
        fresh = self._write_beside(key, value.model_dump_json(by_alias=True).encode())
        fresh.replace(self._root / key)

    def _write_beside(self, key, body):
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        # Outside of what is listed: a half-written object is none.
        fresh = self._root.parent / f".{self._root.name}-{hashlib.sha256(key.encode()).hexdigest()}"
        fresh.write_bytes(body)
        return fresh


def digest(body):
    """Return a hash of an object's content."""
    return hashlib.sha256(body).hexdigest()


def env_of(pod):
    """Return the environment of a pod's container."""
    return pod["spec"]["containers"][0]["env"]
