"""Answers of model servers, which anybody may run, up to a size: one endless answer must not end the operator. EDGE."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

MOST_BYTES = 8 * 1024 * 1024
"""A page of metrics with thousands of series has one of them; all else that is asked for takes kilobytes."""
PLAIN = "identity"
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=2)
"""However many servers keep a question waiting, the others are asked: who asks counts how many it asks at once.

Each is asked once in a while, and every request looks at all connections that are kept.
"""


def open_client() -> httpx.AsyncClient:
    """Open a client for model servers: no proxies and keys of the environment, no redirects, nothing without end."""
    transport = BoundedTransport(httpx.AsyncHTTPTransport(trust_env=False, limits=LIMITS))
    return httpx.AsyncClient(transport=transport, trust_env=False, follow_redirects=False)


class BoundedTransport(httpx.AsyncBaseTransport):
    """Carries requests by another transport; an answer that is too large, or compressed, ends as a DecodingError."""

    def __init__(self, inner: httpx.AsyncBaseTransport, most: int = MOST_BYTES) -> None:
        self._inner = inner
        self._most = most

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer, whose body is read up to the bound."""
        request.headers["Accept-Encoding"] = PLAIN
        answer = await self._inner.handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        if answer.headers.get("Content-Encoding", PLAIN) != PLAIN:
            # Some kilobytes of it may be gigabytes.
            await answer.aclose()
            raise httpx.DecodingError("a compressed answer, which nobody asked for", request=request)
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Bounded(answer.stream, self._most, request),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, most: int, request: httpx.Request) -> None:
        self._inner = inner
        self._left = most
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._left -= len(chunk)
            if self._left < 0:
                raise httpx.DecodingError("an answer without end", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
