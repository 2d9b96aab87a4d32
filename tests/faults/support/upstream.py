"""The API server as the proxy reaches it: plain answers, and watches line by line."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

# Of one connection, not of what goes over it; and nothing is packed, since every answer is read.
NOT_PASSED_ON = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "host", "content-length")
)
PATIENCE = ClientTimeout(total=None, sock_connect=10)


class Server(Protocol):
    """An API server; `ca` is a file of certificates, empty for one without TLS."""

    url: str
    token: str
    ca: str


@asynccontextmanager
async def reach(server: Server) -> AsyncIterator[Upstream]:
    """Give connections to an API server until the end."""
    trusted = ssl.create_default_context(cafile=str(server.ca)) if server.ca else True
    connector = TCPConnector(limit=0, ssl=trusted)
    async with ClientSession(
        connector=connector, timeout=PATIENCE, auto_decompress=False, cookie_jar=DummyCookieJar()
    ) as session:
        yield Upstream(server, session)


class Upstream:
    """Requests to an API server with the credentials that came with them, else with the server's own token."""

    def __init__(self, server: Server, session: ClientSession) -> None:
        self._server = server
        self._session = session

    def _asked(self, path: str, query: str, headers: Mapping[str, str]) -> tuple[URL, dict[str, str]]:
        kept = {name: text for name, text in headers.items() if name.lower() not in NOT_PASSED_ON}
        kept = {"Authorization": f"Bearer {self._server.token}", **kept, "Accept-Encoding": "identity"}
        address = f"{self._server.url}{path}" + (f"?{query}" if query else "")
        return URL(address, encoded=True), kept

    async def ask(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and whole body of an answer."""
        address, kept = self._asked(path, query, headers)
        async with self._session.request(method, address, headers=kept, data=body or None) as answer:
            return answer.status, passed_on(answer.headers), await answer.read()

    @asynccontextmanager
    async def watch(self, path: str, query: str, headers: Mapping[str, str]) -> AsyncIterator[ClientResponse]:
        """Give the answer to a watch, which is not read yet."""
        address, kept = self._asked(path, query, headers)
        async with self._session.get(address, headers=kept) as answer:
            yield answer


def passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of an answer that are about it, and not about its connection."""
    return {name: text for name, text in headers.items() if name.lower() not in NOT_PASSED_ON}


async def lines(answer: ClientResponse) -> AsyncIterator[bytes]:
    """Give the lines of a watch, each with its end; they may be longer than aiohttp's own limit for a line."""
    held = b""
    async for chunk in answer.content.iter_any():
        held += chunk
        *whole, held = held.split(b"\n")
        for line in whole:
            yield line + b"\n"
