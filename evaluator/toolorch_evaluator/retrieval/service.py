"""The HTTP service: POST /retrieve and GET /health, over an index that is loaded while it already answers.

GET /health is 503 until a first query has been answered: whoever waits for it never pays for the cold start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from toolorch_evaluator.retrieval.corpus import Document
from toolorch_evaluator.retrieval.dense import EmbeddingError
from toolorch_evaluator.retrieval.ranking import Hit, Ranking

log = structlog.get_logger(__name__)

MOST_QUERIES, MOST_DOCUMENTS, LONGEST_QUERY = 64, 1000, 10_000
DEFAULT_DOCUMENTS = 10
# A query needs one core for some milliseconds; more at once would only wait for each other.
RANKINGS_AT_ONCE = 4
BODY_BYTES = 1 << 20


class BadRequestError(ValueError):
    """A request that cannot be answered; the message says why."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """An index ready to be asked."""

    documents: Sequence[Document]
    ranking: Ranking
    numbers: Mapping[str, int]
    """A document's number by its id."""
    whitelist: Mapping[str, frozenset[str]]
    """Ids of the documents that a question may be shown; a question that is not named sees all."""

    def allowed(self, question: str | None) -> list[int] | None:
        """Return the numbers of the documents that a question may be shown; None: all."""
        ids = self.whitelist.get(question) if question is not None else None
        return None if ids is None else sorted(self.numbers[i] for i in ids if i in self.numbers)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed request."""

    texts: tuple[str, ...]
    count: int
    with_scores: bool
    question: str | None


class Service:
    """The service; `loaded` comes when the index is there."""

    def __init__(self) -> None:
        self.loaded: Loaded | None = None
        self.is_warm = False
        self._room = asyncio.Semaphore(RANKINGS_AT_ONCE)

    async def warm_up(self, loaded: Loaded) -> None:
        """Take an index and answer a first query from it; raises EmbeddingError."""
        self.loaded = loaded
        words = loaded.documents[0].text[:200]
        hits = await self._rank(loaded, words, 1, None)
        self.is_warm = True
        log.info("warm", documents=len(loaded.documents), found=len(hits))

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.add_routes([web.post("/retrieve", self._retrieve), web.get("/health", self._health)])
        return app

    async def _health(self, _: web.Request) -> web.Response:
        count = len(self.loaded.documents) if self.loaded else 0
        state = {"status": "ok" if self.is_warm else "loading", "documents": count}
        return web.json_response(state, status=200 if self.is_warm else 503)

    async def _retrieve(self, request: web.Request) -> web.Response:
        loaded = self.loaded
        if loaded is None:
            return web.json_response({"error": "the index is being loaded"}, status=503)
        try:
            query = parse_query(await request.json())
            answers = [await self._answer(loaded, text, query) for text in query.texts]
        except BadRequestError as error:
            return web.json_response({"error": str(error)}, status=400)
        except EmbeddingError as error:
            log.warning("embeddings_away", error=str(error))
            return web.json_response({"error": str(error)}, status=503)
        except ValueError as error:
            return web.json_response({"error": f"the body is no JSON: {error}"}, status=400)
        return web.json_response(answers)

    async def _answer(self, loaded: Loaded, text: str, query: Query) -> list[dict[str, Any]]:
        hits = await self._rank(loaded, text, query.count, loaded.allowed(query.question))
        documents = [loaded.documents[hit.number] for hit in hits]
        rows = [{"document": {"id": d.id, "content": d.text}, "source": "local"} for d in documents]
        return [{**row, "score": hit.score} if query.with_scores else row for row, hit in zip(rows, hits, strict=True)]

    async def _rank(self, loaded: Loaded, text: str, count: int, allowed: Sequence[int] | None) -> list[Hit]:
        async with self._room:
            return await loaded.ranking.rank(text, count, allowed)


def build_loaded(documents: Sequence[Document], ranking: Ranking, whitelist: Mapping[str, frozenset[str]]) -> Loaded:
    """Put an index together for the service."""
    return Loaded(documents, ranking, {d.id: number for number, d in enumerate(documents)}, whitelist)


def parse_query(body: Any) -> Query:
    """Parse a request's body; raises BadRequestError."""
    if not isinstance(body, dict):
        raise BadRequestError("the body is a JSON object with queries")
    texts, count = body.get("queries"), body.get("topk")
    count = DEFAULT_DOCUMENTS if count is None else count
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_QUERIES:
        raise BadRequestError(f"queries is a list of 1 to {MOST_QUERIES} texts")
    if not all(isinstance(text, str) and text.strip() and len(text) <= LONGEST_QUERY for text in texts):
        raise BadRequestError(f"each query is a text of 1 to {LONGEST_QUERY} characters")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_DOCUMENTS:
        raise BadRequestError(f"topk is a whole number from 1 to {MOST_DOCUMENTS}")
    question = body.get("eid")
    return Query(
        tuple(texts), count, body.get("return_scores") is not False, None if question is None else str(question)
    )
