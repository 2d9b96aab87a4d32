"""How a command ends early: each error carries sentences for the person at the terminal, and has an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class CommandExit(IntEnum):
    """Exit codes of `toolorch` besides 0, which means that the run is Complete and no gate is breached."""

    BREACHED = 1
    BAD_INPUT = 2
    FAILED = 3
    INTERRUPTED = 130  # as a shell reports a command that SIGINT ended
    TERMINATED = 143


class BadInputError(Exception):
    """What the user gave cannot work; one sentence per mistake."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = tuple(sentences)


class RunFailedError(Exception):
    """The run cannot go on, or ended below what it must reach; the text is the reason as a sentence."""


class GateBreachedError(Exception):
    """The run is complete, and its score fell by more than its gate allows; the text says by how much."""
