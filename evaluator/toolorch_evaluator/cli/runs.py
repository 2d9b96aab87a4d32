"""An EvalRun on this machine: observe Jobs and files, let the operator's brain plan, and carry the plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_evaluator.cli.children import Children
from toolorch_evaluator.cli.folder import RunFolder, write_whole
from toolorch_evaluator.cli.jobs import LocalJob
from toolorch_evaluator.cli.pools import LocalPool
from toolorch_evaluator.cli.stored import find_baseline
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.evidence import LOG_BYTES, LOG_LINES, wanted_logs
from toolorch_operator.evalrun.observed import ObservedRun, PodLog, parse_pool
from toolorch_operator.evalrun.plan import plan
from toolorch_operator.evalrun.settled import is_settled
from toolorch_operator.evalrun.wants import wanted_facts
from toolorch_operator.plan import Event, Manifest, Plan, Ref


class LocalRun:
    """One run; `document` carries the status that a cluster would show."""

    def __init__(
        self, document: EvalRun, folder: RunFolder, input_dir: Path, children: Children, defaults: Defaults
    ) -> None:
        self.document = document
        self._folder = folder
        self._input_dir = input_dir
        self._children = children
        self._defaults = defaults
        self._jobs: dict[str, LocalJob] = {}
        self._config_maps: set[str] = set()
        self._baseline = find_baseline(document, folder.path)
        self._endpoints: dict[str, str] = {}

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do."""
        return is_settled(self.document.status)

    async def advance(self, pools: Mapping[str, LocalPool], now: datetime) -> tuple[Event, ...]:
        """Look once and act once; return what is worth telling."""
        for name, pool in pools.items():
            self._tell_endpoints(name, pool.endpoints().model_dump_json(by_alias=True))
        for job in self._jobs.values():
            await job.advance()
        planned = plan(self.document, self._observe(pools), now, self._defaults)
        await self._carry_out(planned)
        return planned.events

    async def stop(self) -> None:
        """Stop all Jobs; what they have stored stays."""
        for job in self._jobs.values():
            await job.suspend()

    def _observe(self, pools: Mapping[str, LocalPool]) -> ObservedRun:
        observed = ObservedRun(
            pools={name: parse_pool(pool.raw()) for name, pool in pools.items()},
            jobs={name: job.view() for name, job in self._jobs.items()},
            pods=tuple(pod for job in self._jobs.values() for pod in job.pods()),
            config_maps=frozenset(self._config_maps),
            baseline=self._baseline,
        )
        seen = replace(observed, storage=self._folder.read_facts(wanted_facts(self.document, observed)))
        ends = {p.name: self._folder.read_log_end(p.name, LOG_LINES, LOG_BYTES) for p in wanted_logs(seen)}
        return replace(seen, logs={name: PodLog(end) for name, end in ends.items()})

    async def _carry_out(self, planned: Plan) -> None:
        """Do what the operator's frame does, in its order."""
        if planned.status_first:
            self._keep_status(planned)
        for ref in planned.delete:
            await self._delete(ref)
        for blob in planned.blobs:
            self._folder.create(blob.key, blob.body)
        for manifest in (*planned.create, *planned.apply):
            await self._apply(manifest)
        self._keep_status(planned)

    async def _delete(self, ref: Ref) -> None:
        for job in [*self._jobs.values()]:
            if ref.kind == "Pod":
                await job.replace(ref.name)
            elif ref.kind == "Job" and ref.name == job.name:
                await job.suspend()
                del self._jobs[ref.name]

    async def _apply(self, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        if manifest["kind"] == "ConfigMap":
            for file, text in manifest["data"].items():
                write_whole(self._input_dir / file, text.encode())
            self._config_maps.add(name)
        elif name not in self._jobs:
            self._jobs[name] = LocalJob(manifest, self._input_dir, self._folder, self._children)
        elif manifest["spec"].get("suspend"):
            await self._jobs[name].suspend()

    def _keep_status(self, planned: Plan) -> None:
        if planned.status is not None:
            status = EvalRunStatus.model_validate(planned.status)
            self.document = self.document.model_copy(update={"status": status})
            self._folder.write_status(status)

    def _tell_endpoints(self, pool: str, text: str) -> None:
        if self._endpoints.get(pool) != text:
            write_whole(self._input_dir / "pools" / pool / "endpoints.json", text.encode())
            self._endpoints[pool] = text
