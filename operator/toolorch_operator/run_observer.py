"""Looks at the world around one EvalRun: its children, the pools and the Secret it names, its storage. EDGE."""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import suppress
from dataclasses import replace

from toolorch_api import evalrun
from toolorch_api.evalrun import EvalRun
from toolorch_api.run_input import Baseline
from toolorch_operator.cluster import Cluster
from toolorch_operator.defaults import Defaults
from toolorch_operator.errors import Denied, StorageError
from toolorch_operator.evalrun import observed as run_views
from toolorch_operator.evalrun.evidence import wanted_logs
from toolorch_operator.evalrun.gate import parse_baseline
from toolorch_operator.evalrun.observed import ObservedRun, StorageView
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.settled import is_finished, is_settled
from toolorch_operator.evalrun.wants import wanted_facts, wanted_refusals
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness, Surroundings
from toolorch_operator.observation import Observation, children_selector, is_of_this_life, own_children
from toolorch_operator.opening import refuse_local
from toolorch_operator.owner import Key
from toolorch_operator.pod_logs import PodLogs
from toolorch_operator.resources import (
    CONFIG_MAPS,
    EVAL_RUNS,
    EVENTS,
    JOBS,
    MODEL_POOLS,
    NAMESPACES,
    PODS,
    SECRETS,
)
from toolorch_operator.storage import Storage


class RunObserver:
    """Observes EvalRuns."""

    def __init__(
        self, cluster: Cluster, storage: Storage, facts: Facts, defaults: Defaults, freshness: Freshness
    ) -> None:
        self._cluster = cluster
        self._freshness = freshness
        self._storage = storage
        self._facts = facts
        self._defaults = defaults
        self._logs = PodLogs(cluster)

    async def observe(self, run: EvalRun) -> Observation[ObservedRun]:
        """Return what surrounds a run; storage is read last, and only what the brain wants of it."""
        meta = run.metadata
        key, selector = Key(evalrun.KIND, meta.namespace, meta.name), children_selector(evalrun.KIND, meta.name)
        near = self._freshness.around(key, meta.uid, self._cluster)
        if is_settled(run.status):
            # Only a resync or a change of its spec comes by again, and there may be thousands of such runs.
            self._freshness.forget(key)
        if run.status.expired:
            # Its children are gone, and its spec alone decides whether it goes on.
            return Observation(ObservedRun())
        output = resolve_output(run, self._defaults)
        raw_jobs, raw_pods, raw_maps, pools, secret, baseline = await asyncio.gather(
            near.list(JOBS, meta.namespace, selector),
            near.list(PODS, meta.namespace, selector),
            near.list(CONFIG_MAPS, meta.namespace, selector),
            _read_pools(near, run),
            _read_secret(near, meta.namespace, output.secret if output else ""),
            self._baseline(near, run),
        )
        jobs = own_children(JOBS, raw_jobs, meta.uid)
        maps = own_children(CONFIG_MAPS, raw_maps, meta.uid)
        seen = ObservedRun(
            pools=pools,
            secret_exists=secret is not None,
            jobs={name: run_views.parse_job(job) for name, job in jobs.items()},
            pods=tuple(run_views.parse_pod(p) for p in raw_pods if is_of_this_life(p, meta)),
            config_maps=frozenset(maps),
            baseline=baseline,
        )
        going = await self._is_going(meta.namespace, seen)
        seen = replace(seen, namespace_is_going=going, refusals=await self._refusals(meta.namespace, seen))
        live = {(JOBS.kind, n): j for n, j in jobs.items()} | {(CONFIG_MAPS.kind, n): m for n, m in maps.items()}
        if output is None or secret is None:
            return Observation(replace(seen, has_storage=False), live)
        try:
            refuse_local(output.root, self._defaults.local_root)
            folder = self._storage.open(output.root, secret)
            view = await self._facts.read(folder, output.root, wanted_facts(run, seen))
        except StorageError as error:
            # The next try may be with other keys.
            near.mark(SECRETS)
            return Observation(replace(seen, storage=StorageView(reachable=False, error=str(error))), live)
        # A pod's last word may quote what it was given.
        pods = tuple(replace(pod, message=folder.blank(pod.message)) for pod in seen.pods)
        seen = replace(seen, pods=pods, storage=view)
        logs = await self._logs.read(meta.namespace, wanted_logs(seen), folder.blank)
        return Observation(replace(seen, logs=logs), live, folder)

    async def _is_going(self, namespace: str, seen: ObservedRun) -> bool:
        if not any(pod.is_leaving for pod in seen.pods):
            return False
        # The role of an older chart has no such verb: then the namespace waits for whoever deletes its Jobs.
        with suppress(Denied):
            raw = await self._cluster.get(NAMESPACES, "", namespace)
            return raw is not None and bool(raw["metadata"].get("deletionTimestamp"))
        return False

    async def _refusals(self, namespace: str, seen: ObservedRun) -> dict[str, str]:
        """Return why Jobs lack pods: Events alone tell, and are read only where pods are missing."""
        texts = {}
        for name in wanted_refusals(seen):
            fields = f"involvedObject.kind=Job,involvedObject.uid={seen.jobs[name].uid},reason=FailedCreate"
            # The role of an older chart has no such verb: then the Job merely has no pod.
            with suppress(Denied):
                texts[name] = run_views.parse_refusal(await self._cluster.list(EVENTS, namespace, fields=fields))
        return {name: text for name, text in texts.items() if text}

    async def _baseline(self, near: Surroundings, run: EvalRun) -> Baseline | None:
        """Return what the gate compares with; None without a gate, and where nobody asks any more."""
        gate = run.spec.gate
        if gate is None or is_finished(run.status):
            return None
        found = parse_baseline(run, await near.get(EVAL_RUNS, run.metadata.namespace, gate.baseline), self._defaults)
        if found is not None and found.problem:
            # No event tells this run that the other one is complete.
            near.mark(EVAL_RUNS)
        return found


async def _read_pools(near: Surroundings, run: EvalRun) -> dict[str, run_views.PoolView]:
    names = run.spec.roles.pools()
    found = await asyncio.gather(*(near.get(MODEL_POOLS, run.metadata.namespace, name) for name in names))
    return {name: run_views.parse_pool(raw) for name, raw in zip(names, found, strict=True) if raw is not None}


async def _read_secret(near: Surroundings, namespace: str, name: str) -> dict[str, str] | None:
    """Return a Secret's keys decoded, nothing where none is named, None where it does not exist."""
    if not name:
        return {}
    raw = await near.get(SECRETS, namespace, name)
    if raw is None:
        return None
    return {key: _decode(value) for key, value in (raw.get("data") or {}).items()}


def _decode(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
