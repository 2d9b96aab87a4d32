"""The Jobs of a run as local programs: what the Job controller and the kubelet do with the same manifests."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolorch_api.meta import LABEL_ATTEMPT
from toolorch_api.shard import (
    ENV_ATTEMPT,
    ENV_INPUT_DIR,
    ENV_POD,
    ENV_SHARD,
    ENV_TERMINATION_LOG,
    ExitCode,
)
from toolorch_evaluator.cli.children import Children
from toolorch_evaluator.cli.folder import RunFolder
from toolorch_evaluator.cli.pods import LocalPod, Origin
from toolorch_operator.evalrun.observed import JobView, PodView

# The Job controller waits 10 s, 20 s, …; here nobody else's cluster has to be spared.
_FIRST_PAUSE_SECONDS = 1.0


class LocalJob:
    """One Job: an index is started again until it succeeds, its back-off limit is used up, or its input is bad."""

    def __init__(self, manifest: Mapping[str, Any], input_dir: Path, folder: RunFolder, children: Children) -> None:
        meta, spec = manifest["metadata"], manifest["spec"]
        self.name: str = meta["name"]
        self.attempt = int(meta["labels"].get(LABEL_ATTEMPT, 0))
        self._origin = Origin.parse(manifest)
        env = spec["template"]["spec"]["containers"][0]["env"]
        self._told = {entry["name"]: str(entry["value"]) for entry in env if "value" in entry}
        self._completions = int(spec.get("completions", 1))
        self._limit = int(spec.get("backoffLimitPerIndex", spec.get("backoffLimit", 0)))
        self._input_dir = input_dir
        self._folder = folder
        self._children = children
        self._pods: list[LocalPod] = []
        self._not_before: dict[int, float] = {}
        self._is_suspended = False

    async def advance(self) -> None:
        """Notice ends, and start what is to be started."""
        for pod in self._pods:
            if pod.code is None and pod.child.has_ended:
                pod.end(await self._children.wait(pod.child))
                failures = len(self._failed(pod.index))
                self._not_before[pod.index] = time.monotonic() + _FIRST_PAUSE_SECONDS * 2 ** max(0, failures - 1)
        if self._bad_input() is None and not self._is_suspended:
            for index in range(self._completions):
                if self._is_due(index):
                    await self._start(index)

    async def suspend(self) -> None:
        """Stop what runs, and start nothing any more: a shard gives back its running units."""
        self._is_suspended = True
        for pod in self._pods:
            await self._stop(pod)

    async def replace(self, name: str) -> None:
        """Stop a pod of this name, if it has one; its index begins anew."""
        for pod in self._pods:
            if pod.name == name:
                await self._stop(pod)

    def view(self) -> JobView:
        """Show it as the API would."""
        bad, worn = self._bad_input(), self._worn_out()
        active = sum(pod.code is None for pod in self._pods)
        succeeded = sum(pod.code == ExitCode.OK for pod in self._pods)
        failure = f"BackoffLimitExceeded: index {worn}" if worn else ""
        failure = f"PodFailurePolicy: {bad.view().message}" if bad else failure
        return JobView(
            name=self.name,
            uid=self.name,
            attempt=self.attempt,
            active=active,
            succeeded=succeeded,
            failed=sum(pod.code not in (None, ExitCode.OK) for pod in self._pods),
            is_complete=succeeded == self._completions,
            is_failed=active == 0 and (bad is not None or (self._is_through() and bool(worn))),
            failure=failure,
            is_suspended=self._is_suspended,
        )

    def pods(self) -> list[PodView]:
        """Show its pods as the API would."""
        return [pod.view() for pod in self._pods]

    async def _start(self, index: int) -> None:
        name = self._name_pod(index)
        word = self._input_dir.parent / f"{name}.end"
        word.unlink(missing_ok=True)
        environment = {
            **os.environ,
            ENV_INPUT_DIR: str(self._input_dir),
            ENV_ATTEMPT: self._told[ENV_ATTEMPT],
            ENV_SHARD: str(index),
            ENV_POD: name,
            ENV_TERMINATION_LOG: str(word),
        }
        command = [sys.executable, "-P", "-m", "toolorch_evaluator", self._origin.step]
        child = await self._children.start(command, environment, self._folder.log(name))
        self._pods.append(LocalPod(self._origin, name, index, word, child))

    def _name_pod(self, index: int) -> str:
        """Return a name that no pod of the run ever had, of an earlier command neither: evidence is told by it."""
        stem = f"{self.name}-{index}" if self._origin.step == "shard" else self.name
        return next(name for n in itertools.count() if not self._folder.log(name := f"{stem}-{n}").exists())

    async def _stop(self, pod: LocalPod) -> None:
        if pod.code is None:
            pod.is_leaving = True
            pod.end(await self._children.stop(pod.child))

    def _is_due(self, index: int) -> bool:
        own = [pod for pod in self._pods if pod.index == index]
        if any(pod.code is None or pod.code == ExitCode.OK for pod in own):
            return False
        return len(self._failed(index)) <= self._limit and time.monotonic() >= self._not_before.get(index, 0.0)

    def _failed(self, index: int) -> list[LocalPod]:
        return [pod for pod in self._pods if pod.index == index and pod.has_failed]

    def _worn_out(self) -> str:
        """Indexes whose retries are used up."""
        return ",".join(str(i) for i in range(self._completions) if len(self._failed(i)) > self._limit)

    def _is_through(self) -> bool:
        """Whether no index will be started again."""
        done = {pod.index for pod in self._pods if pod.code == ExitCode.OK}
        worn = {i for i in range(self._completions) if len(self._failed(i)) > self._limit}
        return len(done | worn) == self._completions

    def _bad_input(self) -> LocalPod | None:
        return next((pod for pod in self._pods if pod.code == ExitCode.BAD_INPUT), None)
