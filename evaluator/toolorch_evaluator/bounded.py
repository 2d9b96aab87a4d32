"""Answers of model servers up to a size: an endless one is its unit's trouble, and not that of all units of the pod."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

# A stream takes some hundred bytes for each token, so this is an answer of two hundred thousand.
MOST_BYTES = 64 * 1024 * 1024
PLAIN = "identity"


class NoEndError(httpx2.TransportError):
    """The server's answer is larger than any answer, or compressed, which hides how large it is."""


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Carries requests by another transport; reading more of an answer than `most` bytes raises NoEndError."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, most: int = MOST_BYTES) -> None:
        self._inner = inner
        self._most = most

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer; raises NoEndError where it is compressed."""
        request.headers["Accept-Encoding"] = PLAIN
        answer = await self._inner.handle_async_request(request)
        assert isinstance(answer.stream, httpx2.AsyncByteStream)
        if answer.headers.get("Content-Encoding", PLAIN) != PLAIN:
            await answer.aclose()
            raise NoEndError("the answer is compressed, which nobody asked for")
        return httpx2.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Bounded(answer.stream, self._most),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int) -> None:
        self._inner = inner
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._inner:
            read += len(chunk)
            if read > self._most:
                raise NoEndError(f"the answer has more than {self._most} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
