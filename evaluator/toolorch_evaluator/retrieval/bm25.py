"""Ranking by words: BM25, by bm25s. Needs no model and no GPU."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np

from toolorch_evaluator.retrieval.ranking import Hit

KIND = "bm25"


class WordRanking:
    """An index over words."""

    def __init__(self, engine: bm25s.BM25, count: int) -> None:
        self._engine = engine
        self._count = count

    @staticmethod
    def build(texts: Sequence[str]) -> WordRanking:
        """Index texts."""
        engine = bm25s.BM25()
        engine.index(bm25s.tokenize(list(texts), show_progress=False), show_progress=False)
        return WordRanking(engine, len(texts))

    @staticmethod
    def load(folder: Path, count: int) -> WordRanking:
        """Open an index that `save` left, without reading all of it into memory."""
        return WordRanking(bm25s.BM25.load(str(folder), mmap=True, show_progress=False, verbosity=0), count)

    def save(self, folder: Path) -> None:
        """Write the index as files."""
        self._engine.save(str(folder), show_progress=False)

    async def rank(self, query: str, count: int, allowed: Sequence[int] | None) -> list[Hit]:
        """Return the best documents that share a word with the query, best first; `allowed` None: all may come."""
        return await asyncio.to_thread(self._rank, query, count, allowed)

    def _rank(self, query: str, count: int, allowed: Sequence[int] | None) -> list[Hit]:
        words = bm25s.tokenize(query, return_ids=False, show_progress=False)
        most = min(count, self._count if allowed is None else len(allowed))
        if not words[0] or not most:
            return []
        mask = None
        if allowed is not None:
            mask = np.zeros(self._count, dtype="float32")
            mask[list(allowed)] = 1.0
        found, scores = self._engine.retrieve(words, k=most, show_progress=False, weight_mask=mask)
        return [Hit(int(n), float(s)) for n, s in zip(found[0], scores[0], strict=True) if s > 0]
