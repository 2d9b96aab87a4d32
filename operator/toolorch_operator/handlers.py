"""Watches both kinds and their children, and hands every event on: the only importer of kopf. EDGE.

kopf watches and reconnects; it stores nothing on the objects (no annotation, no finalizer).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories

from toolorch_operator.credentials import Credentials
from toolorch_operator.resources import CHILDREN, MANAGED_SELECTOR, OWNERS, Resource
from toolorch_operator.thrift import PAGE
from toolorch_operator.watch import Watch

TOKEN_LIFETIME = timedelta(minutes=10)
"""After this kopf logs in afresh: projected tokens are replaced well before they expire, at 80 % of an hour."""
ERROR_BACKOFFS = (0.2, 0.5, 1, 2, 4, 8, 15, 30, 30, 30, 30, 30)
"""Seconds between tries while the API server is away: about three minutes, then the process ends and starts again."""


class _NothingRemembered(kopf.DiffBaseStorage):
    """What kopf compares an object with: nothing, so that it does not copy every object of every event to do so."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        """Store nothing."""


class NoMemories(ResourceMemories):
    """What kopf remembers of each object for handlers that span events. None here does, and objects are many."""

    async def recall(self, raw_body: Any, *, ephemeral: bool = False, **more: Any) -> Any:
        """Return a memory that lasts for one event."""
        return await super().recall(raw_body, ephemeral=True, **more)


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
    settings.persistence.diffbase_storage = _NothingRemembered()
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = PAGE
    # Each object that an event was about has a task so long, which keeps the event's body.
    settings.queueing.idle_timeout = 1.0
    for resource in CHILDREN:
        settings.watching.label_selectors[_selector(resource)] = MANAGED_SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = ERROR_BACKOFFS
    # Less than the 30 seconds that Kubernetes waits before it kills.
    settings.process.ultimate_exiting_timeout = 25
    return settings


async def run_watch(
    registry: kopf.OperatorRegistry,
    namespace: str,
    stop: threading.Event | asyncio.Event,
    take_signals: Callable[[], None] = lambda: None,
) -> None:
    """Watch until `stop` is set; raise where a watcher dies, so that the process ends and starts afresh.

    `take_signals` takes back the signals that kopf makes its own, before any can come.
    """
    before = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=build_settings(),
        memories=NoMemories(),
        clusterwide=not namespace,
        namespaces=[namespace] if namespace else (),
        stop_flag=stop,
    )
    take_signals()
    await kopf.run_tasks(tasks, ignored=before)


def _selector(resource: Resource) -> tuple[str, str] | tuple[str, str, str]:
    group, version = resource.group_version
    return (group, version, resource.plural) if group else (version, resource.plural)
