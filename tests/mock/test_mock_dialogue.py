"""The scripted agent and user against each other, without a server: who does what, in which order, to which end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from toolorch_evaluator.benchmarks.tau2.dataset import splits
from toolorch_evaluator.benchmarks.tau2.reference import reference
from toolorch_mock.brains.base import Answer, Brain, Turn
from toolorch_mock.brains.idle import answer_idle
from toolorch_mock.brains.oracle import answer_oracle
from toolorch_mock.brains.phrases import STOP
from toolorch_mock.brains.registry import find_model
from toolorch_mock.brains.skill import is_skilled
from toolorch_mock.brains.user import answer_user
from toolorch_mock.caller import Caller, parse_caller

GREETING = "Hi! How can I help you today?"
MAX_TURNS = 100


@dataclass(frozen=True)
class FakeAction:
    name: str
    arguments: dict[str, Any]
    requestor: str


@dataclass(frozen=True)
class FakeReference:
    actions: tuple[FakeAction, ...]
    communicate: tuple[str, ...] = ()


def reference_of(pattern: str, *communicate: str) -> FakeReference:
    """One action per letter: a for the agent, u for the user."""
    sides = {"a": "assistant", "u": "user"}
    actions = tuple(FakeAction(f"step_{i}", {"i": i}, sides[letter]) for i, letter in enumerate(pattern))
    return FakeReference(actions, communicate)


class Dialogue:
    """The conversation of two brains by τ²'s rules: a tool's result goes back to whoever called it."""

    def __init__(self, reference: Any, agent: Brain = answer_oracle, user: Brain = answer_user, tools: Any = None):
        names = {a.name for a in reference.actions} if tools is None else tools
        self.reference = reference
        self.tools = {name: {"name": name} for name in names}
        self.brains = {"assistant": agent, "user": user}
        self.messages: dict[str, list[dict[str, Any]]] = {
            "assistant": [{"role": "system", "content": "policy"}, {"role": "assistant", "content": GREETING}],
            "user": [{"role": "system", "content": "scenario"}, {"role": "user", "content": GREETING}],
        }
        self.called: list[tuple[str, str, dict[str, Any]]] = []
        self.agent_texts: list[str] = []

    def play(self) -> bool:
        """Return whether the user ended the conversation within the limit."""
        side = "user"
        for _ in range(MAX_TURNS):
            answer = self.brains[side](Turn(self.messages[side], self.tools, None, self.reference))
            if answer.call is not None:
                self._call(side, answer)
                continue
            if side == "user" and STOP in (answer.text or ""):
                return True
            side = self._say(side, answer.text or "")
        return False

    def _call(self, side: str, answer: Answer) -> None:
        assert answer.call is not None
        function = {"name": answer.call.name, "arguments": json.dumps(dict(answer.call.arguments))}
        call = {"id": f"c{len(self.called)}", "type": "function", "function": function}
        self.messages[side] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "Error: no matter"},
        ]
        self.called.append((side, answer.call.name, dict(answer.call.arguments)))

    def _say(self, side: str, text: str) -> str:
        other = "user" if side == "assistant" else "assistant"
        self.messages[side].append({"role": "assistant", "content": text})
        self.messages[other].append({"role": "user", "content": text})
        if side == "assistant":
            self.agent_texts.append(text)
        return other


def expected_calls(reference: Any) -> list[tuple[str, str, dict[str, Any]]]:
    return [(a.requestor, a.name, dict(a.arguments)) for a in reference.actions]


@pytest.mark.parametrize(
    "pattern", ["", "a", "u", "aaa", "uu", "au", "ua", "uau", "auau", "uaua", "uauau", "aauuuaaau"]
)
def test_the_two_perform_the_reference_in_its_order(pattern):
    dialogue = Dialogue(reference_of(pattern))
    assert dialogue.play()
    assert dialogue.called == expected_calls(dialogue.reference)


def test_equal_actions_in_a_row_are_each_done():
    same = tuple(FakeAction("reboot", {}, "user") for _ in range(3))
    dialogue = Dialogue(FakeReference(same))
    assert dialogue.play()
    assert len(dialogue.called) == 3


def test_the_agent_says_every_fact_before_the_user_stops():
    dialogue = Dialogue(reference_of("a", "1628", "Suite 356"))
    assert dialogue.play()
    assert all(any(fact in text for text in dialogue.agent_texts) for fact in ("1628", "Suite 356"))


def test_an_idle_agent_is_left_after_two_turns_without_any_call():
    dialogue = Dialogue(reference_of("aua", "secret"), agent=answer_idle)
    assert dialogue.play()
    assert dialogue.called == []
    assert len(dialogue.agent_texts) == 2
    assert not any(any(c.isdigit() for c in text) for text in dialogue.agent_texts)


def test_an_agent_that_says_it_cannot_help_is_left_at_once():
    dialogue = Dialogue(reference_of("a"), agent=lambda turn: Answer("I am sorry, I cannot help with that."))
    assert dialogue.play()
    assert len(dialogue.agent_texts) == 1


def test_a_missing_tool_is_named_and_the_conversation_still_ends():
    dialogue = Dialogue(reference_of("a"), tools=())
    assert dialogue.play()
    assert "step_0" in dialogue.agent_texts[0]


def test_a_user_that_never_reports_is_believed_after_being_asked_twice():
    dialogue = Dialogue(reference_of("uau"), user=lambda turn: Answer("Done, I think."))
    dialogue.play()
    assert dialogue.called == [("assistant", "step_1", {"i": 1})]
    assert "That is all" in dialogue.agent_texts[-1]


def test_a_call_of_another_kind_in_between_does_not_count():
    function = {"name": "call_expert", "arguments": "{}"}
    messages = [{"role": "assistant", "tool_calls": [{"id": "x", "function": function}]}]
    turn = Turn(messages, {"step_0": {}}, None, reference_of("a"))
    call = answer_oracle(turn).call
    assert call is not None
    assert call.name == "step_0"


def test_the_user_opens_with_the_scenarios_own_reason():
    messages = [{"role": "system", "content": "Reason for call:\n\tYour phone has no service.\nKnown info: none"}]
    assert answer_user(Turn(messages, {})).text == "Your phone has no service."


def test_every_base_task_is_played_by_its_reference():
    played = 0
    for domain in ("retail", "airline", "telecom"):
        for task_id in splits(domain)["base"]:
            dialogue = Dialogue(reference(domain, task_id))
            assert dialogue.play(), (domain, task_id)
            assert dialogue.called == expected_calls(dialogue.reference), (domain, task_id)
            said = "\n".join(dialogue.agent_texts).lower().replace(",", "")
            assert all(fact.lower() in said for fact in dialogue.reference.communicate), (domain, task_id)
            played += 1
    assert played == 278


def test_a_request_id_is_read_from_its_right_end():
    caller = parse_caller("team/a/run-1/control/telecom/x-1234abcd/2/user/17")
    assert caller == Caller("control/telecom/x-1234abcd/2", "telecom", "x-1234abcd", "user", 17)


@pytest.mark.parametrize("request_id", ["", "abc", "a/b/c/d/e/f/g", "r/v/d/t/1/agent/", "r/v//t/1/agent/3"])
def test_another_request_id_means_no_unit(request_id):
    assert parse_caller(request_id) is None


def test_skill_follows_the_documented_hash():
    # sha256("control/retail/0/1") begins with d9875973, and 0xd9875973 % 100 is 31.
    assert [is_skilled("control/retail/0/1", percent) for percent in (0, 31, 32, 100)] == [False, False, True, True]
    share = sum(is_skilled(f"control/retail/{i}/1", 60) for i in range(2000)) / 2000
    assert 0.57 < share < 0.63


@pytest.mark.parametrize("skilled", [True, False])
def test_a_skilled_model_plays_its_units_as_the_oracle_and_others_idly(skilled):
    key = next(k for i in range(100) if is_skilled(k := f"control/retail/{i}/1", 60) is skilled)
    model = find_model("mock/skill-60")
    assert model is not None
    caller = Caller(key, "retail", "0", "agent", 1)
    messages = [{"role": "user", "content": "hello"}]
    answer = model.brain(Turn(messages, {"step_0": {}}, caller, reference_of("a")))
    assert (answer.call is not None) is skilled


@pytest.mark.parametrize("name", ["mock/orcale", "mock/skill-101", "mock/skill-", "mock/"])
def test_an_unknown_mock_model_is_not_found(name):
    assert find_model(name) is None


WRITTEN = [
    {"role": "system", "content": "policy\n\nAction:\n{...}"},
    {"role": "user", "content": "My parcel is late."},
]


@pytest.mark.parametrize("form", ["", "Thought:\n<one line>\n"])
def test_where_no_tools_are_offered_and_actions_are_asked_for_the_oracle_writes_them(form):
    messages = [{"role": "system", "content": f"policy\n\n{form}Action:\n{{...}}"}, WRITTEN[1]]
    actions = []
    for _ in range(3):
        text = answer_oracle(Turn(messages, {}, None, reference_of("aa", "1628"))).text or ""
        assert text.startswith("Thought:" if form else "Action:")
        actions.append(json.loads(text.rpartition("Action:")[2]))
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "API output: Error: no"}]
    assert actions[:2] == [{"name": f"step_{i}", "arguments": {"i": i}} for i in range(2)]
    assert actions[2]["name"] == "respond"
    assert "1628" in actions[2]["arguments"]["content"]


def test_the_first_turn_of_every_second_unit_goes_to_an_expert_each_as_often():
    offered = {"parameters": {"properties": {"expert": {"enum": ["expert-1", "expert-2"]}}}}
    tools, called = {"call_expert": offered, "step_0": {}}, []
    for i in range(200):
        caller = Caller(f"control/retail/{i}/0", "retail", str(i), "agent", 1)
        call = answer_oracle(Turn(WRITTEN[1:], tools, caller, reference_of("a"))).call
        assert call is not None
        called.append(call.arguments.get("expert"))
    assert {name: 35 < called.count(name) < 65 for name in ("expert-1", "expert-2")} == {
        "expert-1": True,
        "expert-2": True,
    }
    assert 80 < called.count(None) < 120


def test_an_expert_leads_nobody_and_the_agent_goes_on_where_it_ended():
    offered = {"parameters": {"properties": {"expert": {"enum": ["expert-1"]}}}}
    function = {"name": "step_0", "arguments": "{}"}
    later = [*WRITTEN[1:], {"role": "assistant", "tool_calls": [{"id": "x", "function": function}]}]
    for i in range(8):
        caller = Caller(f"control/retail/{i}/0", "retail", str(i), "agent", 2)
        own = answer_oracle(Turn(later, {"call_expert": offered, "step_1": {}}, caller, reference_of("aa"))).call
        assert own is not None
        assert own.name == "step_1"
        theirs = answer_oracle(Turn(WRITTEN[1:], {"step_0": {}}, caller, reference_of("a"))).call
        assert theirs is not None
        assert theirs.name == "step_0"
