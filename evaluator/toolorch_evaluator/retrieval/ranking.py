"""What a ranking is to the service: numbers of documents and scores for a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """A document by its number in the corpus, and how well it fits: the higher, the better."""

    number: int
    score: float


class Ranking(Protocol):
    """Ranks the documents of a corpus."""

    async def rank(self, query: str, count: int, allowed: Sequence[int] | None) -> list[Hit]:
        """Return at most `count` hits, best first; `allowed` are the numbers that may come, None: all.

        What computes does so in a thread: the service must answer meanwhile.
        """
        ...
