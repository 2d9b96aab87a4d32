"""User variants: each mood reaches the simulated user's model, and nobody else's, whatever runs at the same time."""

import asyncio
import hashlib

import pytest

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_api.variants import BUILT_IN
from toolorch_evaluator.benchmarks.base import Reply
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2
from toolorch_evaluator.benchmarks.variants import mood, text

OWN = {"name": "hurry", "instructions": "You have a train to catch in five minutes."}
NAMES = [*BUILT_IN, "hurry"]
SPEC = EvalRunSpec.model_validate(
    {
        "benchmark": {"name": "tau2", "domains": ["retail"], "numTasks": 5},
        "roles": {"agent": {"pool": "a"}, "user": {"pool": "u"}},
        "userVariants": [*BUILT_IN, OWN],
    }
)


class Recorder:
    """An Ask for one unit that gives way to others at each call, and keeps the system prompts that it was sent."""

    def __init__(self):
        self.prompts = {"agent": set(), "user": set()}
        self.calls = 0

    async def __call__(self, role, messages, tools=(), seed=None):
        self.prompts[role].add(messages[0]["content"])
        self.calls += 1
        await asyncio.sleep(0)
        if role == "agent":
            return Reply("What is your order number?")
        return Reply("I do not know." if self.calls < 6 else "Never mind. ###STOP###")


async def test_of_thirty_conversations_at_once_each_user_is_told_its_own_mood_and_no_other():
    units = [Unit(name, "retail", str(task), 0) for task in range(5) for name in NAMES]
    asks = [Recorder() for _ in units]
    transcripts = await asyncio.gather(*(Tau2().converse(u, SPEC, ask) for u, ask in zip(units, asks, strict=True)))
    for unit, ask, transcript in zip(units, asks, transcripts, strict=True):
        [sent] = ask.prompts["user"]
        told = [name for name in NAMES if name != "control" and mood(SPEC, name) in sent]
        assert told == ([] if unit.variant == "control" else [unit.variant])
        assert transcript["variant"] == unit.variant
        assert transcript["user_prompt_sha256"] == hashlib.sha256(sent.encode()).hexdigest()


async def test_the_agent_is_told_nothing_of_the_users_mood():
    asks = {name: Recorder() for name in NAMES}
    for name, ask in asks.items():
        await Tau2().converse(Unit(name, "retail", "0", 0), SPEC, ask)
    assert len({prompt for ask in asks.values() for prompt in ask.prompts["agent"]}) == 1


def test_units_are_listed_variant_by_variant():
    units = Tau2().list_units(SPEC).units
    assert [u.variant for u in units] == [name for name in NAMES for _ in range(5)]


def test_every_built_in_variant_but_control_has_a_text_of_its_own():
    assert mood(SPEC, "control") == ""
    assert len({text(f"{name}.md") for name in BUILT_IN if name != "control"}) == 4


def test_an_own_variant_says_what_the_spec_says():
    assert OWN["instructions"] in mood(SPEC, "hurry")


def test_a_variant_that_the_spec_does_not_name_is_refused_not_ignored():
    with pytest.raises(ValueError, match=r"unknown user variant 'glee': known are control, .*, hurry"):
        mood(SPEC, "glee")
