"""Looks at the world around one object: its children, the pools and Secret it names, its servers, its storage. EDGE."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import httpx

from toolorch_api import evalrun, modelpool
from toolorch_api.evalrun import EvalRun
from toolorch_api.meta import LABEL_KIND, LABEL_NAME
from toolorch_api.modelpool import ModelPool
from toolorch_operator import models
from toolorch_operator.cluster import Cluster
from toolorch_operator.defaults import Defaults
from toolorch_operator.errors import StorageError
from toolorch_operator.evalrun import observed as run_views
from toolorch_operator.evalrun.observed import ObservedRun, StorageView
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.wants import wanted_facts
from toolorch_operator.facts import Facts
from toolorch_operator.modelpool.instances import probe_targets
from toolorch_operator.modelpool.observed import ObservedPool, Probe, ProbeTarget
from toolorch_operator.modelpool.pods import parse_pod
from toolorch_operator.observation import Observation, is_of_this_life, own_children
from toolorch_operator.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    MANAGED_SELECTOR,
    MODEL_POOLS,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
from toolorch_operator.storage import Folder, Storage
from toolorch_operator.tunnel import tunnel_url


def _children_selector(kind: str, name: str) -> str:
    return f"{MANAGED_SELECTOR},{LABEL_KIND}={kind},{LABEL_NAME}={name}"


PROBES_REMEMBERED = 4096
"""Servers whose answers are kept: a server says the same until it restarts, and more of them are asked again."""


class PoolObserver:
    """Observes ModelPools; `client` speaks to servers, `tunnel` to those in a cluster that this program is not in."""

    def __init__(self, cluster: Cluster, client: httpx.AsyncClient, tunnel: httpx.AsyncClient | None = None) -> None:
        self._cluster = cluster
        self._client = client
        self._tunnel = tunnel
        self._answers: OrderedDict[str, Probe] = OrderedDict()

    async def observe(self, pool: ModelPool) -> Observation[ObservedPool]:
        """Return a pool's children and what its servers say: four LISTs and at most three calls per server."""
        meta = pool.metadata
        selector = _children_selector(modelpool.KIND, meta.name)

        async def own(resource: Resource) -> dict[str, dict[str, object]]:
            return own_children(resource, await self._cluster.list(resource, meta.namespace, selector), meta.uid)

        deployments, services, config_maps, raw_pods = await asyncio.gather(
            own(DEPLOYMENTS), own(SERVICES), own(CONFIG_MAPS), self._cluster.list(PODS, meta.namespace, selector)
        )
        pods = [parse_pod(p) for p in raw_pods if is_of_this_life(p, meta)]
        probes = await self._probe(meta.namespace, probe_targets(pool, pods))
        seen = ObservedPool(deployments, services, config_maps, pods, probes)
        groups = {DEPLOYMENTS.kind: deployments, SERVICES.kind: services, CONFIG_MAPS.kind: config_maps}
        live = {(kind, name): child for kind, group in groups.items() for name, child in group.items()}
        return Observation(seen, live)

    async def _probe(self, namespace: str, targets: list[ProbeTarget]) -> Mapping[str, Probe]:
        answers = await asyncio.gather(*(self._ask(namespace, target) for target in targets))
        return {target.key: answer for target, answer in zip(targets, answers, strict=True)}

    async def _ask(self, namespace: str, target: ProbeTarget) -> Probe:
        if target.external:
            return await models.probe_external(target.url, self._client)
        if target.identity not in self._answers:
            if self._tunnel is None:
                answer = await models.probe(target.url, self._client)
            else:
                answer = await models.probe(tunnel_url(namespace, target.key), self._tunnel)
            if not answer.healthy:
                return answer
            self._answers[target.identity] = answer
            if len(self._answers) > PROBES_REMEMBERED:
                self._answers.popitem(last=False)
        return self._answers[target.identity]


class RunObserver:
    """Observes EvalRuns."""

    def __init__(self, cluster: Cluster, storage: Storage, facts: Facts, defaults: Defaults) -> None:
        self._cluster = cluster
        self._storage = storage
        self._facts = facts
        self._defaults = defaults

    async def observe(self, run: EvalRun) -> Observation[ObservedRun]:
        """Return what surrounds a run; storage is read last, and only what the brain wants of it."""
        meta = run.metadata
        selector = _children_selector(evalrun.KIND, meta.name)
        output = resolve_output(run, self._defaults)
        raw_jobs, raw_pods, raw_maps, pools, secret = await asyncio.gather(
            self._cluster.list(JOBS, meta.namespace, selector),
            self._cluster.list(PODS, meta.namespace, selector),
            self._cluster.list(CONFIG_MAPS, meta.namespace, selector),
            self._pools(run),
            self._secret(meta.namespace, output.secret if output else ""),
        )
        jobs = own_children(JOBS, raw_jobs, meta.uid)
        maps = own_children(CONFIG_MAPS, raw_maps, meta.uid)
        seen = ObservedRun(
            pools=pools,
            secret_exists=secret is not None,
            jobs={name: run_views.parse_job(job) for name, job in jobs.items()},
            pods=tuple(run_views.parse_pod(p) for p in raw_pods if is_of_this_life(p, meta)),
            config_maps=frozenset(maps),
        )
        live = {(JOBS.kind, n): j for n, j in jobs.items()} | {(CONFIG_MAPS.kind, n): m for n, m in maps.items()}
        if output is None or secret is None:
            return Observation(seen, live)
        try:
            folder: Folder | None = self._storage.open(output.root, secret)
            view = await self._facts.read(folder, output.root, wanted_facts(run, seen)) if folder else StorageView()
        except StorageError as error:
            folder, view = None, StorageView(reachable=False, error=str(error))
        return Observation(replace(seen, storage=view), live, folder)

    async def _pools(self, run: EvalRun) -> dict[str, run_views.PoolView]:
        names = run.spec.roles.pools()
        found = await asyncio.gather(*(self._cluster.get(MODEL_POOLS, run.metadata.namespace, n) for n in names))
        return {name: run_views.parse_pool(raw) for name, raw in zip(names, found, strict=True) if raw is not None}

    async def _secret(self, namespace: str, name: str) -> dict[str, str] | None:
        """Return a Secret's keys decoded, nothing where none is named, None where it does not exist."""
        if not name:
            return {}
        raw = await self._cluster.get(SECRETS, namespace, name)
        if raw is None:
            return None
        return {key: _decode(value) for key, value in (raw.get("data") or {}).items()}


def _decode(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
