"""Watch events become keys in the queue, and nothing else happens here: the only importer of kopf. EDGE.

kopf watches and reconnects; it stores nothing on the objects (no annotation, no finalizer). Which runs wait for which
pools is remembered as a hint only: a resync comes anyway.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf

from toolorch_api import evalrun, modelpool
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.cluster import Credentials
from toolorch_operator.modelpool.claims.snapshot import used_pools
from toolorch_operator.owner import Key, parse_key, parse_owner
from toolorch_operator.resources import CHILDREN, MANAGED_SELECTOR, OWNERS, PODS, Resource
from toolorch_operator.workqueue import WorkQueue

COALESCE = 0.1
"""Seconds that a child's event waits for its siblings: a rollout is a burst of them."""
TOKEN_LIFETIME = timedelta(minutes=10)
"""After this kopf logs in afresh: projected tokens are replaced well before they expire, at 80 % of an hour."""
ERROR_BACKOFFS = (0.2, 0.5, 1, 2, 4, 8, 15, 30, 30, 30, 30, 30)
"""Seconds between tries while the API server is away: about three minutes, then the process ends and starts again."""


# What the end, or the start, of another pool may change.
_WAITS_FOR_OTHERS = frozenset(
    (
        PoolReason.WAITING_FOR_SLOT,
        PoolReason.INSUFFICIENT_GPU,
        PoolReason.INSUFFICIENT_RESOURCES,
        PoolReason.QUOTA_EXCEEDED,
        PoolReason.FETCHING_MODEL,
    )
)


class Watch:
    """The handlers; `runs` are the pools that each unfinished EvalRun uses, `waiting` the pools that others hold up.

    Both are hints only: which keys a change may wake. `expire` says that the last listing is out of date.
    """

    def __init__(self, queue: WorkQueue, expire: Callable[[], None] = lambda: None) -> None:
        self._queue = queue
        self._expire = expire
        self.runs: dict[Key, set[str]] = {}
        self.waiting: set[Key] = set()
        self._states: dict[Key, tuple[tuple[str, str], ...]] = {}

    async def own(self, body: Mapping[str, Any], type: str | None, **_: Any) -> None:
        """Take an event of a ModelPool or EvalRun."""
        key = parse_key(body)
        self._queue.add(key)
        if key.kind == evalrun.KIND:
            self._take_run(key, set() if type == "DELETED" else set(used_pools(body)))
        if key.kind == modelpool.KIND:
            self._take_pool(key, {} if type == "DELETED" else body)

    def _take_run(self, key: Key, pools: set[str]) -> None:
        before = self.runs.get(key, set())
        if pools == before:
            return
        self.runs[key] = pools
        if not pools:
            del self.runs[key]
        self._expire()
        # A pool sleeps until a run names it, and keeps its settings until none does.
        for name in before | pools:
            self._queue.add(Key(modelpool.KIND, key.namespace, name), COALESCE)

    def _take_pool(self, key: Key, body: Mapping[str, Any]) -> None:
        (self.waiting.add if _waits_for_others(body) else self.waiting.discard)(key)
        for run, pools in self.runs.items():
            if run.namespace == key.namespace and key.name in pools:
                self._queue.add(run, COALESCE)
        states = _states(body)
        if self._states.get(key) == states:
            return
        self._states[key] = states
        if not body:
            del self._states[key]
        # What this pool gave up may be what another waits for.
        for pool in self.waiting - {key}:
            self._queue.add(pool, COALESCE)

    async def child(self, body: Mapping[str, Any], type: str | None, **_: Any) -> None:
        """Take an event of a child."""
        owner = parse_owner(body)
        if owner is not None:
            self._queue.add(owner, COALESCE)
        if type == "DELETED" and body.get("kind") == PODS.kind and self.waiting:
            # Only now is its room free, and the last listing still has it.
            self._expire()
            for pool in self.waiting:
                self._queue.add(pool, COALESCE)


def _waits_for_others(pool: Mapping[str, Any]) -> bool:
    return str((pool.get("status") or {}).get("reason", "")) in _WAITS_FOR_OTHERS


def _states(pool: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((i.get("name", ""), i.get("state", "")) for i in (pool.get("status") or {}).get("instances") or ())


def build_registry(
    watch: Watch, credentials: Callable[[], Awaitable[Credentials]], on_ready: Callable[[], None]
) -> kopf.OperatorRegistry:
    """Return a registry with all handlers, made afresh so that nothing global is shared."""
    registry = kopf.OperatorRegistry()
    for resource in OWNERS:
        kopf.on.event(*_selector(resource), id=f"own-{resource.plural}", registry=registry)(watch.own)
    for resource in CHILDREN:
        kopf.on.event(*_selector(resource), id=f"child-{resource.plural}", registry=registry)(watch.child)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        held = await credentials()
        return kopf.ConnectionInfo(
            server=held.server,
            ca_path=held.ca_path,
            insecure=held.insecure,
            scheme="Bearer" if held.token else None,
            token=held.token,
            certificate_path=held.certificate_path,
            private_key_path=held.private_key_path,
            expiration=datetime.now(UTC) + TOKEN_LIFETIME,
        )

    @kopf.on.startup(registry=registry)
    async def ready(**_: Any) -> None:
        on_ready()

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: no peering, no scanning, no Events, children by their label."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    for resource in CHILDREN:
        settings.watching.label_selectors[_selector(resource)] = MANAGED_SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = ERROR_BACKOFFS
    # Less than the 30 seconds that Kubernetes waits before it kills.
    settings.process.ultimate_exiting_timeout = 25
    return settings


async def run_watch(registry: kopf.OperatorRegistry, namespace: str, stop: threading.Event | asyncio.Event) -> None:
    """Watch until `stop` is set; raise where a watcher dies, so that the process ends and starts afresh."""
    await kopf.operator(
        registry=registry,
        settings=build_settings(),
        clusterwide=not namespace,
        namespaces=[namespace] if namespace else (),
        stop_flag=stop,
    )


def _selector(resource: Resource) -> tuple[str, str] | tuple[str, str, str]:
    group, version = resource.group_version
    return (group, version, resource.plural) if group else (version, resource.plural)
