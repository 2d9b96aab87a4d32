"""Stands in for what would run in pods: model servers that answer at once, and what a run's pods leave in storage."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web
from ground import Ground
from workload import PODS, SERVED, SHARDS, Manifest, watch

from toolorch_api import keys
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.meta import LABEL_NAME, LABEL_STEP, StatusModel
from toolorch_api.modelpool import SERVER_PORT
from toolorch_api.shard import Assignment, Progress, Summary
from toolorch_api.shard import Manifest as Units

ADDRESS = "127.77.0.1"
"""That of every pod, as stages.yaml says: an address of the loopback that nothing else listens on."""
UNITS = 2 * SHARDS
_INDEX = "batch.kubernetes.io/job-completion-index"
_COUNTERS = "vllm:num_requests_running 0\nvllm:prompt_tokens_total 1\nvllm:generation_tokens_total 1\n"


async def serve_models() -> web.AppRunner:
    """Start the one server that stands for all replicas of all pools."""
    answer = {"choices": [{"message": {"role": "assistant", "content": "ready"}, "finish_reason": "stop"}]}
    answers = {"/v1/models": {"data": [{"id": SERVED, "max_model_len": 32768}]}, "/version": {"version": "0.33.0"}}

    async def get(request: web.Request) -> web.Response:
        if request.path in answers:
            return web.json_response(answers[request.path])
        return web.Response(text=_COUNTERS if request.path == "/metrics" else "")

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/{path:.*}", get)
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, ADDRESS, SERVER_PORT).start()
    return runner


class Pretender:
    """Writes for each pod of a run that begins to run what the evaluator would have left when it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self._runs: dict[str, tuple[str, str]] = {}
        self.output = f"file://{folder / 'runs'}"

    def take(self, made: Manifest) -> None:
        """Learn of a run that was just made."""
        run = EvalRun.model_validate(made)
        meta = run.metadata
        self._runs[meta.name] = (keys.run_folder(meta.name, meta.uid), spec_hash(run.spec))

    async def follow(self, ground: Ground) -> None:
        """Do so for ever."""
        selected = {"labelSelector": LABEL_STEP, "fieldSelector": "status.phase=Running"}
        async for type_, pod in watch(ground, PODS, **selected):
            if type_ == "ADDED":
                self._leave(pod["metadata"])

    def _leave(self, pod: Manifest) -> None:
        folder, hashed = self._runs[pod["labels"][LABEL_NAME]]
        root, step = self._folder / "runs" / folder, pod["labels"][LABEL_STEP]
        if step == "plan":
            self._write(root / keys.MANIFEST_KEY, _units(hashed))
        elif step == "shard":
            self._leave_shard(root, hashed, int(pod["annotations"][_INDEX]), pod["name"])
        else:
            self._write(root / keys.SUMMARY_KEY, _summary(hashed))

    def _leave_shard(self, root: Path, hashed: str, shard: int, pod: str) -> None:
        assignment = Assignment.model_validate_json((root / keys.assignment_key(1)).read_bytes())
        units, now = _units(hashed), datetime.now(UTC)
        own = [units.unit(index) for index in assignment.shards[shard]]
        for unit in own:
            self._write(root / keys.result_key(unit), None)
        passed = len(own) // 2
        progress = Progress(
            spec_hash=hashed,
            attempt=1,
            shard=shard,
            pod=pod,
            total=len(own),
            passed=passed,
            failed=len(own) - passed,
            started_at=now,
            updated_at=now,
            finished=True,
        )
        self._write(root / keys.progress_key(1, shard), progress)

    def _write(self, path: Path, body: StatusModel | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole at once: the operator may read at any moment.
        part = self._scratch / "part"
        part.write_text(body.model_dump_json(by_alias=True) if body is not None else "{}")
        os.replace(part, path)


def _units(hashed: str) -> Units:
    units = [("control", "retail", str(number), 0) for number in range(UNITS)]
    return Units(spec_hash=hashed, dataset_hash="none", units=units)


def _summary(hashed: str) -> Summary:
    half = UNITS // 2
    return Summary(
        spec_hash=hashed,
        total=UNITS,
        scored=UNITS,
        passed=half,
        failed=half,
        infra_errors=0,
        score="0.500",
        score_scheduled="0.500",
        interval="0.30–0.70",
        attempt=1,
    )
