"""A run over object storage, with everything real but Kubernetes: the operator's frame, brain and storage edge, and the
evaluator's programs as processes, over a real S3 server behind the proxy that does what a plan says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from s3_api import DictApi, Manifest
from s3_jobs import End, Jobs
from s3_models import Models, serve_models
from s3_operator import Operator, has_report, has_verdict
from s3_plan import OPERATOR, StoragePlan
from s3_proxy import Seen, StorageProxy
from s3_scene import FOLDER, NAME, UNITS, build_api, build_secret
from s3_server import S3Server, serve_s3
from s3_steps import Steps, open_steps

from toolorch_api import evalrun

LIMIT_SECONDS = 240.0
"""For one plan: far more than any takes by itself, since two cores may be everybody's."""


@dataclass
class Outcome:
    """What a run has left, and how it went."""

    plan: StoragePlan
    status: Manifest
    statuses: list[Manifest]
    """All that were written."""
    early: list[str]
    """Claims of completeness that were written before all results were there."""
    ends: list[End]
    seen: Seen
    calls: Counter[str]
    """Model calls by unit."""
    objects: dict[str, bytes]
    """Of the run's folder, by key."""
    troubles: list[str]
    """Errors of the operator's edges that its queue would have backed off for."""
    settled: bool
    """Whether it ended within the limit."""

    def read(self, prefix: str) -> dict[str, Any]:
        """Return the JSON objects below a prefix, by key."""
        return {k: parse(k, body) for k, body in self.objects.items() if k.startswith(prefix)}

    def condition(self, type_: str) -> str:
        """Return a condition's status, empty for none."""
        return next((c["status"] for c in self.status.get("conditions", []) if c["type"] == type_), "")


def parse(key: str, body: bytes) -> Any:
    """Return what a JSON object holds, compressed or not."""
    return json.loads(zstandard.ZstdDecompressor().decompressobj().decompress(body) if key.endswith(".zst") else body)


@dataclass
class StorageGround:
    """What all plans share."""

    server: S3Server
    steps: Steps
    models: Models
    folder: Path
    _serial: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))
    _finished: tuple[Path, Manifest, Manifest] | None = None
    """Of a run without faults: its bucket, its status and its ConfigMap."""

    async def run(self, plan: StoragePlan) -> Outcome:
        """Run a plan to its run's verdict, or to the limit."""
        name = f"plan-{next(self._serial)}"
        bucket, home = self.server.make_bucket(name), self.folder / name
        async with StorageProxy(self.server, name, FOLDER, plan) as proxy:
            api = build_api(name, plan, await proxy.open_door(OPERATOR))
            if plan.workload == "report":
                await self._put_finished(bucket, api)
            environ = {k: v for k, v in build_secret("").items() if v}
            jobs = Jobs(
                api, self.steps, proxy, home, environ, self.models.endpoints(name), plan.patience,
                twins=2 if plan.workload == "twice" else 1,
            )  # fmt: skip
            api.made, api.gone = jobs.begin, jobs.stop
            early: list[str] = []
            api.on_status = lambda status: early.extend(find_early(status, bucket / FOLDER))
            troubles: list[str] = []
            operator = Operator(api, troubles)
            proxy.kill = lambda caller: operator.kill() if caller == OPERATOR else jobs.kill(caller)
            try:
                async with asyncio.timeout(LIMIT_SECONDS):
                    await operator.work(until=has_report if plan.workload == "report" else has_verdict)
                settled = True
            except TimeoutError:
                settled = False
            finally:
                await jobs.close()
        status = api.objects[evalrun.KIND, NAME].get("status") or {}
        if self._finished is None and plan == StoragePlan():
            self._finished = (bucket, status, api.objects["ConfigMap", f"{NAME}-input"])
        calls = self.models.calls.pop(name, Counter())
        objects = await asyncio.to_thread(read_folder, bucket / FOLDER)
        return Outcome(
            plan, status, api.statuses, early, jobs.ends, proxy.seen, calls, objects, troubles, settled
        )  # fmt: skip

    async def _put_finished(self, bucket: Path, api: DictApi) -> None:
        """Make a run one that has its verdict and waits for its report."""
        if self._finished is None:
            await self.run(StoragePlan())
        there, status, input_map = self._finished
        # With extended attributes, where the server keeps what it knows of an object.
        await asyncio.to_thread(shutil.copytree, there, bucket, dirs_exist_ok=True)
        api.put({**api.objects[evalrun.KIND, NAME], "status": status})
        told = input_map["data"]["run.json"].replace(f"s3://{there.name}/", f"s3://{bucket.name}/")
        api.put({**input_map, "data": {"run.json": told}})


@contextlib.asynccontextmanager
async def open_ground(folder: Path) -> AsyncIterator[StorageGround]:
    """Bring up what all plans share."""
    (folder / "buckets").mkdir()
    async with serve_s3(folder / "buckets") as server, open_steps() as steps, serve_models() as models:
        yield StorageGround(server, steps, models, folder)


def find_early(status: Manifest, folder: Path) -> list[str]:
    """Return the conditions of a status that say more than storage holds."""
    there = sum(1 for path in folder.glob("results/**/*.json") if path.is_file())
    if there == UNITS:
        return []
    claims = [c["type"] for c in status.get("conditions", []) if c["status"] == "True"]
    return [f"{claim} with {there} results" for claim in claims if claim in ("Complete", "ResultsComplete")]


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return all objects of a run, by key."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
