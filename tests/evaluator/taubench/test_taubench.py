"""τ-bench: scripted conversations by each strategy, and how they are graded."""

import io
import json

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
from toolorch_evaluator.benchmarks.registry import benchmark
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.taubench.strategies import build_examples, parse_action
from toolorch_evaluator.score import score_file

STOP = Reply("###STOP###")
STRATEGIES = ("tool-calling", "few-shot", "act", "react")
BENCH = benchmark("tau-bench")


def spec(**options):
    roles = {"agent": {"pool": "a"}, "user": {"pool": "u"}}
    return EvalRunSpec.model_validate({"benchmark": {"name": "tau-bench", "options": options}, "roles": roles})


class Scripted:
    """An Ask that plays lists of replies by role; an exception in a list is raised."""

    def __init__(self, agent=(), user=()):
        self.replies = {"agent": list(agent), "user": list(user)}
        self.asked = []

    async def __call__(self, role, messages, tools=(), seed=None):
        self.asked.append((role, list(messages), list(tools)))
        reply = self.replies[role].pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def acts(name, strategy, number=0, **arguments):
    """A reply that calls a tool, or speaks, as a strategy writes it."""
    if strategy in ("act", "react"):
        thought = "Thought:\nWell.\n" if strategy == "react" else ""
        return Reply(f"{thought}Action:\n{json.dumps({'name': name, 'arguments': arguments})}")
    if name == "respond":
        return Reply(arguments["content"])
    return Reply(None, (ToolCall(f"c{number}", name, arguments),))


def oracle(domain, task_id, strategy):
    criteria = dataset.task(domain, task_id).criteria
    calls = [acts(a.name, strategy, n, **dict(a.arguments)) for n, a in enumerate(criteria.actions or ())]
    if criteria.actions and criteria.actions[-1].name == "transfer_to_human_agents":
        said = [acts("respond", strategy, content=" ".join(criteria.communicate))] if criteria.communicate else []
        return Scripted([*said, *calls], [Reply("Hello."), *[Reply("Go on.")] * len(said)])
    return Scripted(
        [*calls, acts("respond", strategy, content=f"Done. {' '.join(criteria.communicate)}")], [Reply("Hello."), STOP]
    )


async def converse(ask, domain="retail", task_id="0", **options):
    transcript = await BENCH.converse(Unit("control", domain, task_id, 0), spec(**options), ask)
    assert json.loads(json.dumps(transcript)) == transcript
    return transcript


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_the_reference_is_rewarded_in_full_by_each_strategy(strategy):
    for domain in ("retail", "airline"):
        for task_id in dataset.splits(domain)["base"][:: 1 if strategy == "tool-calling" else 6]:
            transcript = await converse(
                oracle(domain, task_id, strategy), domain, task_id, strategy=strategy, maxSteps=60
            )
            assert BENCH.score(transcript).reward == 1.0, (domain, task_id)


def outputs_task():
    return next(i for i in dataset.splits("retail")["base"] if dataset.task("retail", i).criteria.communicate)


async def test_an_output_counts_when_it_is_spoken_and_not_beside_a_call():
    task_id = outputs_task()
    criteria = dataset.task("retail", task_id).criteria
    calls = [acts(a.name, "tool-calling", n, **dict(a.arguments)) for n, a in enumerate(criteria.actions or ())]
    said = " ".join(criteria.communicate)
    beside = Reply(said, (ToolCall("x", "list_all_product_types", {}),))
    silent = Scripted([*calls, beside, Reply("Done.")], [Reply("Hello."), STOP])
    graded = BENCH.score(await converse(silent, task_id=task_id, maxSteps=60))
    assert (graded.reward, graded.breakdown) == (0.0, {"DB": 1.0, "COMMUNICATE": 0.0})


async def test_of_several_tool_calls_only_the_first_is_carried_out():
    two = Reply(None, (ToolCall("a", "list_all_product_types", {}), ToolCall("b", "calculate", {"expression": "1"})))
    ask = Scripted([two, Reply("Bye.")], [Reply("Hello."), STOP])
    transcript = await converse(ask)
    assert [m.get("tool_calls") for m in transcript["messages"]][1][0]["name"] == "list_all_product_types"
    assert sum(m["role"] == "tool" for m in transcript["messages"]) == 1
    history = [asked for asked in ask.asked if asked[0] == "agent"][-1][1]
    assert [c["id"] for m in history for c in m.get("tool_calls", ())] == ["a"]


async def test_a_transfer_ends_the_conversation_and_is_graded():
    ask = Scripted([acts("transfer_to_human_agents", "tool-calling", summary="x")], [Reply("Hello.")])
    transcript = await converse(ask)
    assert transcript["termination_reason"] == "agent_stop"
    assert BENCH.score(transcript).breakdown["DB"] in (0.0, 1.0)


async def test_who_is_not_done_in_thirty_steps_has_failed():
    ask = Scripted([Reply("Hm.")] * 30, [Reply("Hello.")] * 31)
    transcript = await converse(ask)
    assert (transcript["termination_reason"], transcript["steps"]) == ("max_steps", 30)
    assert BENCH.score(transcript).reward == 0.0


@pytest.mark.parametrize(
    ("reply", "strategy"),
    [
        (Reply(None), "tool-calling"),
        (InvalidReplyError("no JSON"), "tool-calling"),
        (Reply('Action: {"name": "calculate"}'), "act"),
        (Reply("Action: [1]"), "react"),
        (Reply('Action: {"name": "respond", "arguments": {}}'), "act"),
        (Reply("Thought: hm. Action:"), "react"),
        (Reply(None, (ToolCall("c", "respond", {"text": "Hi."}),)), "tool-calling"),
    ],
    ids=["nothing", "no JSON", "no arguments", "no object", "nothing to say", "no action", "a tool that says nothing"],
)
async def test_a_reply_without_an_action_is_the_agents_error(reply, strategy):
    transcript = await converse(Scripted([reply], [Reply("Hello.")]), strategy=strategy)
    assert transcript["termination_reason"] == "agent_error"
    assert BENCH.score(transcript).reward == 0.0


async def test_an_unknown_tool_is_answered_with_an_error_and_the_conversation_goes_on():
    ask = Scripted([acts("fly", "act", to="Rome"), acts("respond", "act", content="Sorry.")], [Reply("Hello."), STOP])
    transcript = await converse(ask, strategy="act")
    assert transcript["messages"][2]["error"] is True
    assert BENCH.score(transcript).reward is not None
    agent = [asked for asked in ask.asked if asked[0] == "agent"]
    assert agent[1][1][-1] == {"role": "user", "content": "API output: Error: Tool 'fly' not found."}
    assert agent[0][2] == [], "who writes actions as text is offered no tools"
    assert "list_all_product_types" in agent[0][1][0]["content"]


def test_text_that_is_no_action_is_spoken():
    action = parse_action(Reply("Thought: kind words\nAction: Good morning!"), "react")
    assert (action.name, action.arguments) == ("respond", {"content": "Good morning!"})


@pytest.mark.parametrize("reply", [Reply(None), Reply(" "), InvalidReplyError("x"), ContextWindowExceededError("x")])
async def test_a_user_that_cannot_answer_is_an_infra_error(reply):
    with pytest.raises(ModelError, match="user"):
        await converse(Scripted([], [reply]))


async def test_a_conversation_that_outgrows_the_agents_context_is_lost():
    transcript = await converse(Scripted([ContextWindowExceededError("x")], [Reply("Hello.")]))
    assert transcript["termination_reason"] == "context_window_exceeded"
    assert BENCH.score(transcript).reward == 0.0


async def test_a_mark_in_the_users_first_words_ends_nothing():
    ask = Scripted([Reply("Anything else?")], [Reply("Hello. ###STOP###"), STOP])
    transcript = await converse(ask)
    assert (transcript["termination_reason"], transcript["steps"]) == ("user_stop", 1)


async def test_who_calls_respond_as_a_tool_has_spoken():
    ask = Scripted(
        [Reply(None, (ToolCall("", "respond", {"content": "Hi."}),)), Reply("Bye.")],
        [Reply("Hello."), Reply("?"), STOP],
    )
    transcript = await converse(ask)
    assert [m["content"] for m in transcript["messages"]][:3] == ["Hello.", "Hi.", "?"]
    called, answered = [asked for asked in ask.asked if asked[0] == "agent"][1][1][-2:]
    assert called["tool_calls"][0]["id"] == answered["tool_call_id"] != ""


async def test_the_score_verb_grades_its_transcripts_and_no_others(tmp_path):
    task_id, file = outputs_task(), tmp_path / "transcripts.jsonl"
    whole = await converse(oracle("retail", task_id, "react"), task_id=task_id, strategy="react", maxSteps=60)
    silent = {**whole, "messages": [m for m in whole["messages"] if m["role"] != "assistant" or m["tool_calls"]]}
    rows = [whole, silent, {**whole, "termination_reason": "max_steps"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, err = io.StringIO(), io.StringIO()
    assert score_file("tau-bench", file, out, err) == 0
    results = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [r["reward"] for r in results] == [1.0, 0.0, 0.0]
    assert [r["reward_breakdown"] for r in results] == [
        {"DB": 1.0, "COMMUNICATE": 1.0},
        {"DB": 1.0, "COMMUNICATE": 0.0},
        {},
    ]
    file.write_text(json.dumps({**whole, "domain": "telecom", "task_id": dataset.splits("telecom")["base"][0]}))
    assert score_file("tau-bench", file, out, err) == 2
    assert "unknown domain 'telecom' of tau-bench: known are retail, airline" in err.getvalue()


async def test_few_shot_shows_five_other_training_tasks_and_the_same_ones_again():
    shown = build_examples("retail", "5", 1)
    assert shown == build_examples("retail", "5", 1) != build_examples("retail", "5", 2)
    assert shown.count("Example ") == 5
    own = dataset.task("retail", "5").scenario["instructions"]["reason_for_call"]
    assert own not in shown
    ask = Scripted([Reply("Hi.")], [Reply("Hello."), STOP])
    await converse(ask, task_id="5", strategy="few-shot")
    assert "Example 5:" in ask.asked[1][1][0]["content"]


def test_units_are_those_of_both_domains_and_trials():
    units = BENCH.list_units(spec()).units
    assert len(units) == 114 + 50
    assert {u.domain for u in units} == {"retail", "airline"}


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_what_is_recorded_of_a_runs_prompts_is_what_was_sent(strategy):
    ask, given = Scripted([acts("respond", strategy, content="Hi")], [Reply("Hello."), STOP]), spec(strategy=strategy)
    await BENCH.converse(Unit("control", "retail", "0", 0), given, ask)
    told = BENCH.describe(given)
    agent = next(messages[0]["content"] for role, messages, _ in ask.asked if role == "agent")
    offered = next(tools for role, _, tools in ask.asked if role == "agent")
    assert agent.startswith(told["texts"]["retail: agent"])
    assert told["tools"].get("retail: agent", []) == offered
