"""The idle agent touches no tool in a benchmark; a check that it can is passed all the same."""

from __future__ import annotations

from toolorch_mock.brains.base import Answer, Turn
from toolorch_mock.brains.generic import answer_generic
from toolorch_mock.brains.silent import answer_silent


def answer_idle(turn: Turn) -> Answer:
    """Say nothing of use to a benchmark; use tools where nobody keeps the score."""
    return answer_generic(turn) if turn.tools and not turn.is_of_benchmark else answer_silent(turn)
