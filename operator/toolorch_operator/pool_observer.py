"""Looks at the world around one ModelPool: its children, Jobs, servers and runs, and what else starts. EDGE."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from toolorch_api import modelpool
from toolorch_api.modelpool import Engine, ModelPool
from toolorch_operator.cluster import Cluster
from toolorch_operator.errors import ClusterError
from toolorch_operator.freshness import Freshness
from toolorch_operator.inventory import Inventory
from toolorch_operator.modelpool.fetch.progress import LOG_BYTES, LOG_LINES
from toolorch_operator.modelpool.jobs import JOB_SELECTOR, newest_pod, parse_job
from toolorch_operator.modelpool.observed import JobView, ObservedPool
from toolorch_operator.modelpool.pods import parse_pod
from toolorch_operator.modelpool.targets import probe_targets
from toolorch_operator.observation import Observation, children_selector, is_of_this_life, own_children
from toolorch_operator.owner import Key
from toolorch_operator.prober import Prober
from toolorch_operator.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, PODS, SERVICES, Resource


class PoolObserver:
    """Observes ModelPools; `prober` asks their servers in the background, `inventory` knows the rest of the cluster."""

    def __init__(self, cluster: Cluster, prober: Prober, inventory: Inventory, freshness: Freshness) -> None:
        self._cluster = cluster
        self._freshness = freshness
        self._prober = prober
        self._inventory = inventory

    async def observe(self, pool: ModelPool) -> Observation[ObservedPool]:
        """Return a pool's surroundings: four LISTs as far as they are out of date, and two more where it has Jobs.

        Servers are never waited for.
        """
        meta = pool.metadata
        key = Key(modelpool.KIND, meta.namespace, meta.name)
        near = self._freshness.around(key, meta.uid, self._cluster)
        selector = children_selector(modelpool.KIND, meta.name)

        async def own(resource: Resource) -> dict[str, dict[str, Any]]:
            return own_children(resource, await near.list(resource, meta.namespace, selector), meta.uid)

        (deployments, services, config_maps), raw_pods, jobs, template, _ = await asyncio.gather(
            asyncio.gather(own(DEPLOYMENTS), own(SERVICES), own(CONFIG_MAPS)),
            near.list(PODS, meta.namespace, selector),
            self._jobs(pool),
            self._chat_template(pool),
            self._inventory.refresh(),
        )
        pods = [parse_pod(p) for p in raw_pods if is_of_this_life(p, meta)]
        # Nothing is awaited from here to the plan: two pools must not both take what one of them can have.
        seen = ObservedPool(
            deployments,
            services,
            config_maps,
            pods,
            self._prober.answers(key, meta.namespace, probe_targets(pool, pods)),
            jobs=[view for view, _ in jobs],
            namesakes=self._inventory.namesakes(pool),
            runs=self._inventory.runs(pool),
            chat_template=template,
            cluster=self._inventory.view(pool, [pod.node for pod in pods]),
            fit=self._inventory.fit(pool),
        )
        groups = {DEPLOYMENTS.kind: deployments, SERVICES.kind: services, CONFIG_MAPS.kind: config_maps}
        live = {(kind, name): child for kind, group in groups.items() for name, child in group.items()}
        return Observation(seen, live | {(JOBS.kind, view.name): raw for view, raw in jobs})

    async def _jobs(self, pool: ModelPool) -> list[tuple[JobView, dict[str, Any]]]:
        """Return the Jobs that fetch models in the pool's namespace, and the pool's own that ask its server."""
        external = pool.spec.external
        fetches = pool.spec.cache is not None or bool(pool.status.fetch.job)
        if not fetches and (external is None or external.api_key_secret_ref is None):
            return []
        namespace = pool.metadata.namespace
        raw_jobs, raw_pods = await asyncio.gather(
            self._cluster.list(JOBS, namespace, JOB_SELECTOR), self._cluster.list(PODS, namespace, JOB_SELECTOR)
        )
        views = await asyncio.gather(*(self._job(namespace, job, raw_pods) for job in raw_jobs))
        return list(zip(views, raw_jobs, strict=True))

    async def _job(self, namespace: str, job: dict[str, Any], pods: Sequence[dict[str, Any]]) -> JobView:
        pod = newest_pod(job["metadata"]["name"], pods)
        log = ""
        if (pod.get("status") or {}).get("phase") == "Running":
            # One whose container is not there yet has no log, and how far it is may stay unsaid.
            with suppress(ClusterError):
                log = await self._cluster.read_log(namespace, pod["metadata"]["name"], LOG_LINES, LOG_BYTES)
        return parse_job(job, pods, log)

    async def _chat_template(self, pool: ModelPool) -> str | None:
        tools = pool.spec.tool_calling
        if pool.spec.engine is Engine.EXTERNAL or tools is None or tools.chat_template is None:
            return None
        ref = tools.chat_template.config_map_key_ref
        found = await self._cluster.get(CONFIG_MAPS, pool.metadata.namespace, ref.name)
        return ((found or {}).get("data") or {}).get(ref.key)
