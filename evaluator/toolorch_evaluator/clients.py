"""One pooled HTTP client per model server, and how many connections they keep."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Collection

import httpx2
import openai

from toolorch_api.shard import RunInput
from toolorch_evaluator.bounded import BoundedTransport
from toolorch_evaluator.endpoints import NO_KEY, PoolFiles

CONNECT_SECONDS = 10.0
# vLLM closes a connection that was idle for 5 s. A request that is sent on one just then dies, as if it had killed the
# server; so this side closes first.
KEEP_ALIVE_SECONDS = 4.0
# Idle connections of all servers together, per unit that runs at once.
IDLE_PER_UNIT = 2
FEWEST_IDLE = 2


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return the authorities that are trusted: read once, since each reading takes longer than many calls."""
    return httpx2.create_ssl_context(trust_env=False)


class Clients:
    """The clients of a shard, each opened when its server is first called.

    Open connections are those of calls under way, which units bound, and of idle ones, which `idle_per_server` bounds.
    """

    def __init__(self, run: RunInput, files: PoolFiles) -> None:
        self._run = run
        self._files = files
        self._open: dict[tuple[str, str], openai.AsyncOpenAI] = {}

    @property
    def servers(self) -> list[str]:
        """Addresses of the servers that have a client."""
        return [url for _, url in self._open]

    async def get(self, pool: str, url: str, busy: Collection[str] = ()) -> openai.AsyncOpenAI:
        """Return the one client of a server; raises BadInputError where its key is not mounted.

        A new one replaces those of the pool's servers that are gone; `busy` ones still have calls under way.
        """
        if (client := self._open.get((pool, url))) is not None:
            return client
        client = self._open[pool, url] = self._build(pool, url)
        await self._close_gone(pool, {url, *busy})
        return client

    def idle_per_server(self) -> int:
        """Idle connections that one server's client keeps: its part of what all servers together may have."""
        servers = sum(len(self._files.endpoints(pool)) for pool in self._run.spec.roles.pools())
        return max(FEWEST_IDLE, IDLE_PER_UNIT * self._run.spec.concurrency_per_shard // max(1, servers))

    async def close(self) -> None:
        """Close all connections."""
        for client in self._open.values():
            await client.close()

    async def _close_gone(self, pool: str, keep: Collection[str]) -> None:
        listed = {endpoint.url for endpoint in self._files.endpoints(pool)}
        for gone in [(p, url) for p, url in self._open if p == pool and url not in listed and url not in keep]:
            await self._open.pop(gone).close()

    def _build(self, pool: str, url: str) -> openai.AsyncOpenAI:
        key = self._files.key(pool) if self._run.pools[pool].external else NO_KEY
        seconds = self._run.spec.deadlines.call_seconds
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=self.idle_per_server(), keepalive_expiry=KEEP_ALIVE_SECONDS
        )
        timeout = httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
        # Without the environment's proxies, and without following a server that points elsewhere.
        way = httpx2.AsyncHTTPTransport(limits=limits, verify=trusted(), trust_env=False)
        http = httpx2.AsyncClient(
            transport=BoundedTransport(way), timeout=timeout, trust_env=False, follow_redirects=False
        )
        client = openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0, http_client=http)
        # The constructor takes these from the environment: OPENAI_CUSTOM_HEADERS may even hold another server's key.
        client.organization = client.project = client.admin_api_key = None
        client._custom_headers = {}
        return client
