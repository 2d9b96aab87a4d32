"""The search service as a question's rounds use it: asked a few times, and then done without, never in silence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx

# As upstream's client: eight tries, three seconds to connect, a minute to answer.
TRIES = 8
TIMEOUT = httpx.Timeout(60.0, connect=3.0)
PAUSE_SECONDS = 2.0
HEALTH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave; `failed` says why it could not be made."""

    documents: tuple[str, ...] = ()
    failed: str = ""


class SearchService:
    """A service with POST /retrieve and GET /health."""

    def __init__(self, url: str, client: httpx.AsyncClient, pause: float = PAUSE_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._pause = pause

    async def search(self, query: str, question: str, count: int) -> Found:
        """Return the documents found, best first; `question` is the id by which a service may keep a whitelist."""
        failed = ""
        for tries in range(TRIES):
            if tries:
                await asyncio.sleep(self._pause)
            try:
                body = {"queries": [query], "topk": count, "return_scores": True, "eid": question}
                answer = await self._client.post(f"{self._url}/retrieve", json=body, timeout=TIMEOUT)
                answer.raise_for_status()
                return Found(_documents(answer.json()))
            except httpx.HTTPStatusError as error:
                failed = f"HTTP {error.response.status_code}"
                if error.response.status_code < 500 and error.response.status_code != 429:
                    break
            except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
                failed = f"{type(error).__name__}: {error}"[:200]
        return Found(failed=failed)

    async def is_healthy(self) -> bool:
        """Tell whether the service says that it is ready."""
        try:
            return (await self._client.get(f"{self._url}/health", timeout=HEALTH_SECONDS)).is_success
        except httpx.HTTPError:
            return False


def _documents(answer: object) -> tuple[str, ...]:
    [hits] = answer if isinstance(answer, list) else []
    rows = [hit["document"] for hit in hits]
    return tuple(str(row.get("content") or row.get("contents") or "") for row in rows if row)
