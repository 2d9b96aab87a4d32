"""Which brain a model name means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from toolorch_mock.brains.base import Brain
from toolorch_mock.brains.generic import answer_generic
from toolorch_mock.brains.idle import answer_idle
from toolorch_mock.brains.oracle import answer_oracle
from toolorch_mock.brains.silent import answer_silent
from toolorch_mock.brains.skill import build_skill
from toolorch_mock.brains.user import answer_user

_SKILL = re.compile(r"mock/skill-(100|[1-9]?\d)")


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the mock: its brain, and how it writes down what the brain decides."""

    brain: Brain
    needs_parser: bool = True
    """Whether its tool calls need the server's parser to be switched on."""
    thinks: bool = False
    """Whether it thinks aloud before it answers."""
    cuts_calls: bool = False
    """Whether the arguments of its calls are JSON without an end, unless a call is required."""


_MODELS = {
    "mock/oracle": Model(answer_oracle),
    # A user simulator's pool asks for no tool parser, and the user of telecom still has tools of its own.
    "mock/user": Model(answer_user, needs_parser=False),
    "mock/idle": Model(answer_idle),
    "mock/silent": Model(answer_silent),
    "mock/cut": Model(answer_oracle, cuts_calls=True),
    "mock/thinking": Model(answer_oracle, thinks=True),
}


def find_model(name: str) -> Model | None:
    """Find a model by name; None for an unknown name below mock/, any other name is answered generically."""
    if name in _MODELS:
        return _MODELS[name]
    if skill := _SKILL.fullmatch(name):
        return Model(build_skill(int(skill[1])))
    return None if name.startswith("mock/") else Model(answer_generic)
