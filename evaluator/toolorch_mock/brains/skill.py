"""The skilled agent is the oracle for a stable share of the units and idle for the others."""

from __future__ import annotations

import hashlib

from toolorch_mock.brains.base import Answer, Brain, Turn
from toolorch_mock.brains.idle import answer_idle
from toolorch_mock.brains.oracle import answer_oracle


def is_skilled(unit_key: str, percent: int) -> bool:
    """Whether `mock/skill-<percent>` plays this unit as the oracle.

    The rule is int(sha256(unit key).hexdigest()[:8], 16) % 100 < percent, with the unit key
    `<variant>/<domain>/<task slug>/<trial>`.
    """
    return int(hashlib.sha256(unit_key.encode()).hexdigest()[:8], 16) % 100 < percent


def build_skill(percent: int) -> Brain:
    """Build the brain of `mock/skill-<percent>`; a request of no unit is answered as the oracle does."""

    def answer_skill(turn: Turn) -> Answer:
        skilled = turn.caller is None or is_skilled(turn.caller.unit_key, percent)
        return answer_oracle(turn) if skilled else answer_idle(turn)

    return answer_skill
