"""A Job controller and a node in one: it runs each pod of a run's Jobs as a process of the evaluator."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from s3_api import DictApi, Manifest, typed
from s3_proxy import StorageProxy
from s3_steps import Step, Steps

from toolorch_api.shard import ExitCode

INDEX = "batch.kubernetes.io/job-completion-index"
PAUSE_SECONDS = 0.2
"""Between a pod's failure and the next one; a cluster waits 10 s."""


@dataclass
class End:
    """How one pod ended."""

    step: str
    pod: str
    code: int
    word: str
    """What it left in its termination log."""
    log: str


@dataclass
class Jobs:
    """Runs what the operator creates."""

    api: DictApi
    steps: Steps
    proxy: StorageProxy
    folder: Path
    environ: dict[str, str]
    """What the output's Secret gives each pod, but for the address."""
    endpoints: str
    """endpoints.json of every pool."""
    patience: float
    twins: int = 1
    """Processes per pod of an attempt: more than one, where a cluster has lost sight of a node."""
    ends: list[End] = field(default_factory=list)
    running: dict[str, Step] = field(default_factory=dict)
    """By caller."""
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _serial: int = 0

    def begin(self, job: Manifest) -> None:
        """Run a Job that was created."""
        name = job["metadata"]["name"]
        self._tasks[name] = asyncio.create_task(self._run(name, job))

    def stop(self, name: str) -> None:
        """End the pods of a Job that is gone."""
        if name in self._tasks:
            self._tasks[name].cancel()

    def kill(self, caller: str) -> None:
        """Kill the process of a caller."""
        if caller in self.running:
            self.running[caller].send(signal.SIGKILL)

    async def close(self) -> None:
        """End everything, and say where the Jobs themselves broke."""
        for task in self._tasks.values():
            task.cancel()
        for step in self.running.values():
            step.send(signal.SIGKILL)
        ended = await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        broken = [e for e in ended if isinstance(e, Exception)]
        if broken:
            raise broken[0]

    async def _run(self, name: str, job: Manifest) -> None:
        spec = job["spec"]
        indexes = range(spec["completions"]) if spec.get("completionMode") == "Indexed" else [None]
        limit = spec.get("backoffLimitPerIndex", spec.get("backoffLimit"))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run_index(name, spec, index, limit)) for index in indexes]
        codes = [task.result() for task in tasks]
        kind = "Complete" if set(codes) == {0} else "Failed"
        reason = "PodFailurePolicy" if ExitCode.BAD_INPUT in codes else "BackoffLimitExceeded"
        condition = {"type": kind, "status": "True", "reason": reason if kind == "Failed" else "CompletionsReached"}
        live = self.api.find("Job", name)
        if live is not None:
            self.api.put({**live, "status": {"conditions": [condition], "succeeded": codes.count(0)}})

    async def _run_index(self, job: str, spec: dict[str, Any], index: int | None, limit: int) -> int:
        failures = 0
        while True:
            codes = await asyncio.gather(*(self._run_pod(job, spec, index) for _ in range(self._count(index))))
            if min(codes) == 0 or max(codes) == ExitCode.BAD_INPUT:
                return max(codes) if max(codes) == ExitCode.BAD_INPUT else 0
            failures += set(codes) != {ExitCode.DRAINED}
            if failures > limit:
                return codes[0]
            await asyncio.sleep(PAUSE_SECONDS)

    def _count(self, index: int | None) -> int:
        return 1 if index is None else self.twins

    async def _run_pod(self, job: str, spec: dict[str, Any], index: int | None) -> int:
        self._serial += 1
        name = f"{job}-{self._serial}"
        labels = {**spec["template"]["metadata"]["labels"], "batch.kubernetes.io/job-name": job}
        metadata = {"labels": labels, "annotations": {} if index is None else {INDEX: str(index)}}
        pod = typed("Pod", name, metadata=metadata, spec=spec["template"]["spec"])
        began = datetime.now(UTC).isoformat()
        self.api.put({**pod, "status": {"phase": "Running", **state(running={"startedAt": began})}})
        end = await self._live(pod, index)
        self.ends.append(end)
        ended = {
            "exitCode": end.code if end.code >= 0 else 128 - end.code,
            "reason": "Error" if end.code else "Completed",
            "message": end.word,
            "startedAt": began,
            "finishedAt": datetime.now(UTC).isoformat(),
        }
        self.api.logs[name] = end.log
        self.api.put({**pod, "status": {"phase": "Failed" if end.code else "Succeeded", **state(terminated=ended)}})
        return ended["exitCode"]

    async def _live(self, pod: Manifest, index: int | None) -> End:
        """Run a pod's process to its end."""
        name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]
        kind = container["command"][1]
        caller, home = f"{kind}/{name}", self.folder / name
        environ = {e["name"]: e["value"] for e in container["env"] if "value" in e} | self.environ
        environ |= {
            "TOOLORCH_INPUT_DIR": str(self._write_input(home)),
            "TOOLORCH_POD": name,
            "TOOLORCH_TERMINATION_LOG": str(home / "word"),
            "TOOLORCH_SHARD": str(index or 0),
            "AWS_ENDPOINT_URL": await self.proxy.open_door(caller),
            "HOME": str(self.folder),
        }
        step = await self.steps.start(kind, environ, home / "log", self.patience)
        self.running[caller] = step
        try:
            code = await asyncio.shield(step.code)
        except asyncio.CancelledError:
            step.send(signal.SIGKILL)
            raise
        finally:
            self.running.pop(caller)
        word = (home / "word").read_text() if (home / "word").exists() else ""
        return End(kind, name, code, word, (home / "log").read_text(errors="replace"))

    def _write_input(self, home: Path) -> Path:
        folder = home / "input"
        pools = folder / "pools" / "agent"
        pools.mkdir(parents=True)
        (pools / "endpoints.json").write_text(self.endpoints)
        (input_map,) = [o for (kind, _), o in self.api.objects.items() if kind == "ConfigMap"]
        (folder / "run.json").write_text(input_map["data"]["run.json"])
        return folder


def state(**how: Any) -> dict[str, Any]:
    """Build the status of a pod's one container."""
    return {"containerStatuses": [{"name": "evaluator", "state": how}]}
