"""A ModelPool on this machine: observe local servers, let the operator's brain plan, and bring the servers to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from toolorch_api.conditions import is_true
from toolorch_api.modelpool import KIND, ModelPool
from toolorch_api.modelpool_status import InstanceState, ModelPoolStatus
from toolorch_api.pool_reasons import PoolCondition
from toolorch_api.shard import Endpoint, Endpoints
from toolorch_evaluator.cli.hub import find_commit
from toolorch_evaluator.cli.patience import Patience
from toolorch_evaluator.cli.replicas import HOST, Replica
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.claims.occupancy import find_starts
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.objects import build_template
from toolorch_operator.modelpool.observed import ClusterView, ObservedPool, ProbeTarget, RunUse
from toolorch_operator.modelpool.plan import plan
from toolorch_operator.modelpool.pods import ANNOTATION_TEMPLATE
from toolorch_operator.modelpool.targets import probe_targets
from toolorch_operator.owner import Key
from toolorch_operator.plan import Manifest
from toolorch_operator.prober import Prober

# Looks at servers that work: a busy one answers late, and nothing is won by asking more often.
_HEALTH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What pools share."""

    client: httpx.AsyncClient
    defaults: Defaults
    chat_templates: Mapping[str, Path]
    """By pool: the file with its chat template."""
    use: RunUse
    """The run that all of them serve."""


class LocalPool:
    """One pool and its replicas; `document` carries the status that a cluster would show.

    `prober` asks its servers in the background; an external one's carries the key. `environment` is the servers' own.
    """

    def __init__(
        self,
        document: ModelPool,
        replicas: Mapping[str, Replica],
        tools: Tools,
        prober: Prober,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.document = document
        self._environment = environment
        self._replicas = dict(replicas)
        self._tools = tools
        self._prober = prober
        self._deployments: dict[str, Manifest] = {}
        self._checked: dict[str, float] = {}
        self._patience = Patience({name: r.log for name, r in replicas.items()})

    @property
    def is_ready(self) -> bool:
        """Whether all of its servers can be called."""
        return is_true(self.document.status.conditions, PoolCondition.READY)

    @property
    def replicas(self) -> Mapping[str, Replica]:
        """Its replicas, by instance name."""
        return self._replicas

    async def advance(self, others: Sequence[ModelPool], now: datetime) -> None:
        """Look once and act once; raises RunFailedError where the pool cannot become useful.

        `others` are the other pools of this machine, whose servers start one after another with these.
        """
        for replica in self._replicas.values():
            await replica.look()
            await self._check(replica)
        planned = plan(self._asked(), self._observe(others), now, self._tools.defaults)
        if planned.status is not None:
            status = self._with_commit(ModelPoolStatus.model_validate(planned.status))
            self.document = self.document.model_copy(update={"status": status})
        self._patience.spend(self.document, max((r.failed_starts for r in self._replicas.values()), default=0))
        deployments = {m["metadata"]["name"]: m for m in planned.apply if m["kind"] == "Deployment"}
        self._deployments |= deployments
        for replica in self._replicas.values():
            await self._bring_to(replica, self._deployments.get(replica.name))

    def _with_commit(self, status: ModelPoolStatus) -> ModelPoolStatus:
        """Add to what is served which commit it is: no Job has fetched it here, but the hub's cache can be read."""
        spec, served = self.document.spec, status.served
        if not served.id or spec.external is not None:
            return status
        commit = find_commit(spec.model, spec.revision or "", self._environment) or served.revision
        return status.model_copy(update={"served": served.model_copy(update={"revision": commit})})

    def _asked(self) -> ModelPool:
        """Return the pool as the brain sees it on one machine.

        A key is no matter of a Job here, but of the one who asks; files lie where the user's own hub cache is.
        """
        external = self.document.spec.external
        without_key = external and external.model_copy(update={"api_key_secret_ref": None})
        spec = self.document.spec.model_copy(update={"external": without_key, "cache": None})
        return self.document.model_copy(update={"spec": spec})

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

    def _observe(self, others: Sequence[ModelPool]) -> ObservedPool:
        pool = self._asked()
        pods = [view for replica in self._replicas.values() if (view := replica.view()) is not None]
        local = [replace(t, url=self._url(t)) for t in probe_targets(pool, pods)]
        key = Key(KIND, pool.metadata.namespace, pool.metadata.name)
        return ObservedPool(
            deployments=self._deployments,
            pods=pods,
            probes=self._prober.answers(key, pool.metadata.namespace, local),
            runs=(self._tools.use,),
            # One machine is one place, and who else starts on it is known.
            cluster=ClusterView(None, [start for other in others for start in find_starts(other)]),
        )

    def _url(self, target: ProbeTarget) -> str:
        return target.url if target.external else self._replicas[target.key].url

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
            replica.has_served = True
        elif not replica.has_served and time.monotonic() - replica.started_at > self._timeout:
            replica.end()

    @property
    def _timeout(self) -> int:
        return self.document.spec.startup.timeout_seconds

    async def _bring_to(self, replica: Replica, deployment: Manifest | None) -> None:
        """Bring a server to what its Deployment says, as a cluster's controllers and kubelet would."""
        if deployment is None or not deployment["spec"]["replicas"]:
            await replica.stop()
            return
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        if replica.template not in ("", annotations[ANNOTATION_TEMPLATE]):
            await replica.stop()
        if replica.may_start:
            await replica.start(self.command(replica), annotations)

    def annotations(self) -> dict[str, str]:
        """Return by what a pod of its present settings is known."""
        effective = self.document.status.effective
        template = build_template(self._asked(), effective, self._tools.defaults, nodes_known=False)
        return dict(template["metadata"]["annotations"])

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
