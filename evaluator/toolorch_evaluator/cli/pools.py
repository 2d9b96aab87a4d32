"""A ModelPool on this machine: observe local servers, let the operator's brain plan, and bring the servers to it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from toolorch_api.conditions import find_condition, is_true
from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState, ModelPoolStatus
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_api.shard import Endpoint, Endpoints
from toolorch_evaluator.cli.errors import RunFailedError
from toolorch_evaluator.cli.replicas import HOST, Replica
from toolorch_evaluator.cli.slots import Slots
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.instances import probe_targets
from toolorch_operator.modelpool.memory import spec_hash
from toolorch_operator.modelpool.observed import ObservedPool, Probe, ProbeTarget
from toolorch_operator.modelpool.plan import plan
from toolorch_operator.models import probe, probe_external

# A crash that nothing can cure may still be a race: a replica gets as many further starts before the run gives up.
_HOPELESS_RESTARTS = 2
# Looks at servers that work: a busy one answers late, and nothing is won by asking more often.
_HEALTH_SECONDS = 5.0
# Crashes without a remedy that a plain restart may still get past.
_MAY_PASS = (PoolReason.UNCLASSIFIED_CRASH, PoolReason.REMEDIATION_UNKNOWN)


@dataclass(frozen=True, slots=True)
class Tools:
    """What pools share."""

    client: httpx.AsyncClient
    slots: Slots
    defaults: Defaults
    chat_templates: Mapping[str, Path]
    """By pool: the file with its chat template."""


class LocalPool:
    """One pool and its replicas; `document` carries the status that a cluster would show."""

    def __init__(self, document: ModelPool, replicas: Mapping[str, Replica], tools: Tools) -> None:
        self.document = document
        self._replicas = dict(replicas)
        self._tools = tools
        self._probes: dict[str, tuple[str, Probe]] = {}
        self._checked: dict[str, float] = {}
        self._away_since: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether all of its servers can be called."""
        return is_true(self.document.status.conditions, PoolCondition.READY)

    @property
    def replicas(self) -> Mapping[str, Replica]:
        """Its replicas, by instance name."""
        return self._replicas

    async def advance(self, now: datetime) -> None:
        """Look once and act once; raises RunFailedError where the pool cannot become useful."""
        settle = float(self.document.spec.startup.settle_seconds)
        for replica in self._replicas.values():
            await replica.look(settle if replica.has_gpus else 0.0)
            await self._check(replica)
        planned = plan(self.document, await self._observe(), now, self._tools.defaults)
        if planned.status is not None:
            status = ModelPoolStatus.model_validate(planned.status)
            self.document = self.document.model_copy(update={"status": status})
        self._give_up_if_hopeless()
        for replica in self._replicas.values():
            await self._bring_up(replica)

    def endpoints(self) -> Endpoints:
        """Return what shards are told; addresses are those of this machine."""
        spec = self.document.spec
        ready = {i.name for i in self.document.status.instances if i.state is InstanceState.READY}
        found = [Endpoint(name=r.name, url=r.url, ready=r.name in ready) for r in self._replicas.values()]
        if spec.external is not None:
            found = [Endpoint(name=self.document.metadata.name, url=spec.external.base_url, ready=self.is_ready)]
        return Endpoints(model=spec.model, served_model_name=spec.served_name, endpoints=found)

    def raw(self) -> dict[str, Any]:
        """Return the document as JSON, as the API would."""
        return self.document.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def _observe(self) -> ObservedPool:
        pods = [replica.view() for replica in self._replicas.values()]
        for target in probe_targets(self.document, pods):
            known = self._probes.get(target.key)
            if known is None or known[0] != target.identity or not known[1].healthy:
                self._probes[target.key] = (target.identity, await self._probe(target))
        return ObservedPool(pods=pods, probes={key: answer for key, (_, answer) in self._probes.items()})

    async def _probe(self, target: ProbeTarget) -> Probe:
        if target.external:
            return await probe_external(target.url, self._tools.client)
        return await probe(self._replicas[target.key].url, self._tools.client)

    async def _check(self, replica: Replica) -> None:
        """Ask a running server for /health, as a kubelet's probes do."""
        due = self._checked.get(replica.name, 0.0) + (_HEALTH_SECONDS if replica.healthy else 0.0)
        if not replica.is_running or time.monotonic() < due:
            return
        self._checked[replica.name] = time.monotonic()
        try:
            answer = await self._tools.client.get(f"http://{HOST}:{replica.port}/health")
            replica.healthy = answer.is_success
        except httpx.HTTPError:
            replica.healthy = False
        if replica.healthy:
            self._tools.slots.give_back(replica.name)
            replica.has_served = True
        elif not replica.has_served and time.monotonic() - replica.started_at > self._timeout:
            replica.end()

    @property
    def _timeout(self) -> int:
        return self.document.spec.startup.timeout_seconds

    async def _bring_up(self, replica: Replica) -> None:
        """Start a server, or replace one whose settings the ladder has changed."""
        command = self.command(replica)
        if replica.is_running and tuple(command) == replica.command:
            return
        await replica.stop()
        startup = self.document.spec.startup
        if replica.may_start(command) and self._tools.slots.take(replica.name, startup.max_concurrent_per_node):
            await replica.start(command, spec_hash(self.document.spec))

    def command(self, replica: Replica) -> list[str]:
        """Return what a replica's server is to be started with now."""
        name, document = self.document.metadata.name, self.document
        template = self._tools.chat_templates.get(name)
        return serve_command(
            document.spec,
            document.status.effective,
            port=replica.port,
            host=HOST,
            chat_template=str(template) if template else None,
        )

    def _give_up_if_hopeless(self) -> None:
        """Raise where waiting is of no use: nothing cures the crash, or an external server stays away."""
        name, status = self.document.metadata.name, self.document.status
        stalled = find_condition(status.conditions, PoolCondition.STALLED)
        if stalled is not None and stalled.status == "True":
            worn = [r for r in self._replicas.values() if r.failed_starts > _HOPELESS_RESTARTS]
            if worn or stalled.reason not in _MAY_PASS:
                log = "".join(f" Its log: {r.log}" for r in worn[:1])
                raise RunFailedError(f"pool {name}: {stalled.reason}: {_without_kubectl(stalled.message)}{log}")
        patience = self.document.spec.preflight.timeout_seconds
        ready = find_condition(status.conditions, PoolCondition.READY)
        if self.is_ready or ready is None:
            self._away_since = None
        elif self.document.spec.external is not None:
            self._away_since = self._away_since or time.monotonic()
            if time.monotonic() - self._away_since > patience:
                url = self.document.spec.external.base_url
                raise RunFailedError(
                    f"pool {name}: {url} was not ready for {patience} s: {ready.reason}: {ready.message}"
                )


def _without_kubectl(advice: str) -> str:
    """Leave out the sentences that name a cluster's commands."""
    return " ".join(sentence for sentence in re.split(r"(?<=\.) (?=[A-Z])", advice) if "kubectl" not in sentence)
