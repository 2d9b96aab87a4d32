"""Conversations with scripted models: who is asked, what each is shown, and how conversations end."""

import json
import random

import pytest

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks.base import (
    ContextWindowExceededError,
    InvalidReplyError,
    ModelError,
    Reply,
    ToolCall,
)
from toolorch_evaluator.benchmarks.tau2 import dataset, prompts
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2
from toolorch_evaluator.benchmarks.tau2.reference import reference

STOP = Reply("Thanks, that is all. ###STOP###")


def run_spec(**options):
    fields = {"name": "tau2", "options": options}
    roles = {"agent": {"pool": "a"}, "user": {"pool": "u"}}
    return EvalRunSpec.model_validate({"benchmark": fields, "roles": roles})


class Scripted:
    """An Ask that plays lists of replies and keeps what it was asked; an exception in a list is raised."""

    def __init__(self, agent=(), user=()):
        self.replies = {"agent": list(agent), "user": list(user)}
        self.asked = []

    async def __call__(self, role, messages, tools=(), seed=None):
        self.asked.append((role, list(messages), list(tools), seed))
        reply = self.replies[role].pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def oracle(domain, task_id):
    """Scripts that perform the reference actions, each by its own side, and say what must be said."""
    expected = reference(domain, task_id)
    agent, user, turn = [], [Reply("Hello, I need help.")], "assistant"
    for number, action in enumerate(expected.actions):
        if action.requestor != turn:
            (agent if turn == "assistant" else user).append(Reply("Please go on."))
            turn = action.requestor
        call = ToolCall(f"c{number}", action.name, dict(action.arguments))
        (agent if turn == "assistant" else user).append(Reply(None, (call,)))
    if turn == "user":
        user.append(Reply("Done."))
    agent.append(Reply("Here you are. " + " ".join(expected.communicate)))
    return Scripted(agent, [*user, STOP])


async def converse(ask, domain="retail", task_id="0", trial=0, variant="control", **options):
    return await Tau2().converse(Unit(variant, domain, task_id, trial), run_spec(**options), ask)


def call(name="get_order_details", number=1, **arguments):
    return Reply(None, (ToolCall(f"call{number}", name, arguments),))


async def test_an_oracle_is_rewarded_in_full_on_every_base_task():
    rewards = {}
    for domain in dataset.DOMAINS:
        for task_id in dataset.splits(domain)["base"]:
            transcript = await converse(oracle(domain, task_id), domain, task_id)
            stored = json.loads(json.dumps(transcript))
            assert stored == transcript
            rewards[domain, task_id] = (stored["termination_reason"], Tau2().score(stored).reward)
    assert len(rewards) == 278
    assert set(rewards.values()) == {("user_stop", 1.0)}


@pytest.mark.parametrize(("domain", "passed"), [("retail", 7), ("airline", 19), ("telecom", 0)])
async def test_an_idle_agent_passes_where_nothing_had_to_be_done(domain, passed):
    ids = dataset.splits(domain)["base"]
    idle = [await converse(Scripted([Reply("Let me see.")], [Reply("Hi"), STOP]), domain, i) for i in ids]
    assert sum(Tau2().score(t).reward or 0 for t in idle) == passed


async def test_each_side_is_shown_its_own_view_with_its_own_prompt_tools_and_the_seed():
    agent = [call(order_id="#W2378156"), Reply("It is delivered.")]
    ask = Scripted(agent, [Reply("Where is my order?"), STOP])
    transcript = await converse(ask)
    assert [role for role, *_ in ask.asked] == ["user", "agent", "agent", "user"]
    first_user, first_agent, second_agent, last_user = (messages for _, messages, *_ in ask.asked)
    assert [(m["role"], m["content"]) for m in first_user[1:]] == [("user", prompts.GREETING)]
    assert [m["role"] for m in first_agent[1:]] == ["user"]
    assert [m["role"] for m in second_agent[1:]] == ["user", "assistant", "tool"]
    assert second_agent[2]["tool_calls"][0]["function"] == {
        "name": "get_order_details",
        "arguments": '{"order_id": "#W2378156"}',
    }
    assert second_agent[3]["tool_call_id"] == "call1"
    assert json.loads(second_agent[3]["content"])["order_id"] == "#W2378156"
    assert [m["role"] for m in last_user[1:]] == ["user", "assistant", "user"]
    assert dataset.policy("retail") in first_agent[0]["content"]
    assert "<scenario>" in first_user[0]["content"]
    assert {len(tools) for role, _, tools, _ in ask.asked if role == "user"} == {0}
    assert {len(tools) for role, _, tools, _ in ask.asked if role == "agent"} == {15}
    assert {seed for *_, seed in ask.asked} == {transcript["seed"]}
    assert transcript["user_prompt_sha256"] == prompts.sha256(first_user[0]["content"])
    assert (transcript["variant"], transcript["trial"], transcript["steps"]) == ("control", 0, 5)


async def test_in_telecom_the_user_has_tools_whose_answers_only_the_user_sees():
    user = [
        Reply(None, (ToolCall("u1", "check_status_bar", {}), ToolCall("u2", "toggle_data", {}))),
        Reply("Off."),
        STOP,
    ]
    ask = Scripted([Reply("Good.")], user)
    transcript = await converse(ask, "telecom", dataset.splits("telecom")["base"][0])
    assert len(ask.asked[0][2]) == 30
    assert [m["role"] for m in ask.asked[1][1][2:]] == ["assistant", "tool", "tool"]
    assert [m["role"] for m in ask.asked[2][1][1:]] == ["user"]
    answers = [m for m in transcript["messages"] if m["role"] == "tool"]
    assert [(m["id"], m["requestor"], m["error"]) for m in answers] == [("u1", "user", False), ("u2", "user", False)]
    assert transcript["steps"] == 5


@pytest.mark.parametrize("mark", ["###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###"])
async def test_a_mark_in_the_users_text_ends_it(mark):
    transcript = await converse(Scripted(user=[Reply(f"Bye {mark}")]))
    assert (transcript["termination_reason"], transcript["steps"]) == ("user_stop", 1)


async def test_a_mark_beside_a_tool_call_or_from_the_agent_ends_nothing():
    beside = Reply("###STOP###", (ToolCall("u", "check_status_bar", {}),))
    ask = Scripted([Reply("###STOP###")], [beside, Reply("ok"), STOP])
    transcript = await converse(ask, "telecom", dataset.splits("telecom")["base"][0])
    assert (transcript["termination_reason"], transcript["steps"]) == ("user_stop", 5)


async def test_the_step_limit_ends_it_even_where_the_user_stops_in_that_step():
    talk = Scripted([Reply("a")] * 9, [Reply("b")] * 9)
    assert (await converse(talk, maxSteps=7))["termination_reason"] == "max_steps"
    stopped = await converse(Scripted(user=[STOP]), maxSteps=1)
    assert stopped["termination_reason"] == "max_steps"
    assert Tau2().score(stopped) == Tau2().score({**stopped, "messages": []})
    assert Tau2().score(stopped).reward == 0.0


async def test_tool_errors_are_answers_until_there_are_too_many():
    wrong = [call(name, n, order_id="#W0") for n, name in enumerate(["get_order_details", "nope", "calculate"])]
    transcript = await converse(Scripted([*wrong, Reply("Sorry.")], [Reply("Hi"), STOP]))
    errors = [m["content"] for m in transcript["messages"] if m["role"] == "tool" and m["error"]]
    assert errors == [
        "Error: Order not found",
        "Error: Tool 'nope' not found.",
        "Error: RetailTools.calculate() got an unexpected keyword argument 'order_id'",
    ]
    assert transcript["counts"] == {"calculate_error": 1, "get_order_details_error": 1, "unknown_tool_error": 1}
    assert transcript["termination_reason"] == "user_stop"
    assert Tau2().score(transcript).reward == 0.0
    ended = await converse(Scripted(wrong, [Reply("Hi")]), maxErrors=2)
    assert (ended["termination_reason"], ended["steps"]) == ("too_many_errors", 5)


@pytest.mark.parametrize("reply", [Reply(None), Reply(" \n"), InvalidReplyError("arguments are no JSON object")])
async def test_an_unusable_reply_is_the_agents_failure_but_an_infra_error_of_the_user(reply):
    transcript = await converse(Scripted([reply], [Reply("Hi")]))
    assert transcript["termination_reason"] == "agent_error"
    assert Tau2().score(transcript).reward == 0.0
    with pytest.raises(ModelError) as caught:
        await converse(Scripted(user=[reply]))
    assert caught.value.cause == "user_invalid_reply"


async def test_an_overfull_context_is_final_and_a_failing_server_is_not_ours_to_judge():
    full = await converse(Scripted([ContextWindowExceededError()], [Reply("Hi")]))
    assert full["termination_reason"] == "context_window_exceeded"
    assert Tau2().score(full).reward == 0.0
    with pytest.raises(ModelError):
        await converse(Scripted([ModelError("http_500", "down")], [Reply("Hi")]))


async def test_conversations_at_the_same_time_do_not_share_a_world():
    task_id = random.Random(1).choice(dataset.splits("retail")["base"])
    for _ in range(2):
        assert Tau2().score(await converse(oracle("retail", task_id), "retail", task_id)).reward == 1.0
