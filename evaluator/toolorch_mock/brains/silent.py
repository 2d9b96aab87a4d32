"""The silent agent is polite and never touches a tool, as some real models are."""

from __future__ import annotations

from toolorch_mock.brains.base import Answer, Turn
from toolorch_mock.brains.phrases import IDLE_TURNS


def answer_silent(turn: Turn) -> Answer:
    """Say the next of a few fixed sentences; none holds a fact that a task could ask for."""
    return Answer(IDLE_TURNS[len(turn.texts("assistant")) % len(IDLE_TURNS)])
