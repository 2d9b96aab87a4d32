"""Ranking by meaning: embeddings from an OpenAI-compatible server, compared in a FAISS index."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import faiss
import httpx
import numpy as np
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from toolorch_evaluator.retrieval.ranking import Hit

# faiss's own types lack what its Python side adds.
_faiss: Any = faiss

KIND = "dense"
FILE = "vectors.faiss"
# Texts per request: enough to keep a GPU busy, few enough to stay below usual limits of a request's size.
BATCH = 64
TRIES = 6
TIMEOUT = httpx.Timeout(120.0, connect=5.0)


class EmbeddingError(Exception):
    """The embeddings server did not answer, or not with embeddings."""


@dataclass(frozen=True, slots=True)
class Embedder:
    """An OpenAI-compatible embeddings endpoint; `query_prefix` is put before queries alone, as some models want it."""

    url: str
    model: str
    client: httpx.AsyncClient
    key: str = ""
    query_prefix: str = ""
    longest_pause: float = 30.0

    async def embed_texts(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """Return unit vectors of texts, one row each; raises EmbeddingError."""
        parts = [await self._embed(texts[n : n + BATCH]) for n in range(0, len(texts), BATCH)]
        return np.concatenate(parts)

    async def embed_query(self, query: str) -> np.ndarray[Any, Any]:
        """Return the unit vector of a query, as one row; raises EmbeddingError."""
        return await self._embed([self.query_prefix + query])

    async def _embed(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        retrying = AsyncRetrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.5, max=self.longest_pause),
            reraise=True,
        )
        try:
            return await retrying(self._ask, texts)
        except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
            raise EmbeddingError(f"{self.url}: {type(error).__name__}: {error}"[:300]) from error

    async def _ask(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        body = {"model": self.model, "input": list(texts)}
        answer = await self.client.post(f"{self.url}/embeddings", json=body, headers=headers, timeout=TIMEOUT)
        answer.raise_for_status()
        rows = sorted(answer.json()["data"], key=lambda row: row["index"])
        if len(rows) != len(texts):
            raise ValueError(f"{len(rows)} embeddings came for {len(texts)} texts")
        vectors = np.array([row["embedding"] for row in rows], dtype="float32")
        faiss.normalize_L2(vectors)
        return cast("np.ndarray[Any, Any]", vectors)


class MeaningRanking:
    """An index over embeddings; cosine similarity."""

    def __init__(self, index: Any, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder

    @staticmethod
    async def build(texts: Sequence[str], embedder: Embedder) -> MeaningRanking:
        """Embed and index texts; raises EmbeddingError."""
        vectors = await embedder.embed_texts(texts)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return MeaningRanking(index, embedder)

    @staticmethod
    def load(folder: Path, embedder: Embedder) -> MeaningRanking:
        """Open an index that `save` left."""
        return MeaningRanking(faiss.read_index(str(folder / FILE)), embedder)

    def save(self, folder: Path) -> None:
        """Write the index as a file."""
        faiss.write_index(self._index, str(folder / FILE))

    async def rank(self, query: str, count: int, allowed: Sequence[int] | None) -> list[Hit]:
        """Return the nearest documents, nearest first; raises EmbeddingError."""
        if allowed is not None and not allowed:
            return []
        vector = await self._embedder.embed_query(query)
        return await asyncio.to_thread(self._nearest, vector, count, allowed)

    def _nearest(self, vector: np.ndarray[Any, Any], count: int, allowed: Sequence[int] | None) -> list[Hit]:
        chosen = None if allowed is None else _faiss.SearchParameters(sel=_faiss.IDSelectorBatch(list(allowed)))
        scores, numbers = self._index.search(vector, min(count, self._index.ntotal), params=chosen)
        return [Hit(int(n), float(s)) for n, s in zip(numbers[0], scores[0], strict=True) if n >= 0]


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx.HTTPError)
