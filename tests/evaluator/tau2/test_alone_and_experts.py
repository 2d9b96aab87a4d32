"""An agent that works alone, an agent that leads experts, a judge of statements, and the domain mock."""

import json

import pytest

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks.base import ContextWindowExceededError, ModelError, Reply, ToolCall
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2
from toolorch_evaluator.benchmarks.trimming import cut_middle

STOP = Reply("That is all. ###STOP###")


def spec(experts=(), judge=False, domains=("retail",), **options):
    roles = {"agent": {"pool": "a"}, "user": {"pool": "u"}, "experts": {name: {"pool": "x"} for name in experts}}
    roles |= {"judge": {"pool": "j"}} if judge else {}
    return EvalRunSpec.model_validate(
        {"benchmark": {"name": "tau2", "domains": list(domains), "options": options}, "roles": roles}
    )


class Scripted:
    """An Ask that plays lists of replies by role; an exception in a list is raised."""

    def __init__(self, **replies):
        self.replies = {role.replace("_", "-"): list(given) for role, given in replies.items()}
        self.asked = []

    async def __call__(self, role, messages, tools=(), seed=None, wants=None):
        self.asked.append((role, list(messages), [t["function"]["name"] for t in tools], wants))
        reply = self.replies[role].pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def of(self, role):
        return [asked for asked in self.asked if asked[0] == role]


def call(name, number=1, **arguments):
    return ToolCall(f"call{number}", name, arguments)


async def converse(ask, given, domain="retail", task_id="0"):
    transcript = await Tau2().converse(Unit("control", domain, task_id, 0), given, ask)
    assert json.loads(json.dumps(transcript)) == transcript
    return transcript


def solo_reference(task_id):
    """The reference actions of a telecom task, all by the agent, and `done`."""
    actions = dataset.task("telecom", task_id).criteria.actions
    calls = [Reply(None, (call(a.name, n, **dict(a.arguments)),)) for n, a in enumerate(actions)]
    return Scripted(agent=[*calls, Reply(None, (call("done"),))])


async def test_alone_an_agent_does_the_users_part_too_and_is_graded_like_any_other():
    graded_as_two = []
    for task_id in dataset.splits("telecom")["small"]:
        ask = solo_reference(task_id)
        transcript = await converse(ask, spec(domains=["telecom"], solo=True), "telecom", task_id)
        assert transcript["termination_reason"] == "agent_stop"
        assert Tau2().score(transcript).reward == 1.0
        graded_as_two.append(Tau2().score({**transcript, "solo": False}).reward)
    assert None in graded_as_two, "no task needs the user's tools: the test tests nothing"


async def test_alone_an_agent_reads_the_ticket_and_has_the_tools_of_both_sides_and_must_call_one():
    task = dataset.task("telecom", dataset.splits("telecom")["small"][0])
    ask = Scripted(agent=[Reply(None, (call("toggle_airplane_mode"), call("done", 2)))])
    transcript = await converse(ask, spec(domains=["telecom"], solo=True, policy="workflow"), "telecom", task.id)
    [(_, messages, tools, wants)] = ask.asked
    assert task.ticket in messages[0]["content"]
    assert dataset.policy("telecom", "workflow", True) in messages[0]["content"]
    assert {"get_customer_by_id", "toggle_airplane_mode", "done"} <= set(tools)
    assert wants == {"tool_choice": "required"}
    assert [m["content"] for m in transcript["messages"]] == ["###STOP###"], "nothing beside done is carried out"


async def test_alone_words_without_a_tool_call_are_the_agents_error():
    task_id = dataset.splits("telecom")["small"][0]
    transcript = await converse(
        Scripted(agent=[Reply("Dear customer,")]), spec(domains=["telecom"], solo=True), "telecom", task_id
    )
    assert transcript["termination_reason"] == "agent_error"
    assert Tau2().score(transcript).reward == 0.0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (spec(solo=True), "retail has no policy for an agent that works alone"),
        (spec(domains=["mock"], solo=True), "asks for no action"),
        (spec(policy="workflow"), "workflow is for telecom"),
        (spec(judgeAssertions=True), "set roles.judge"),
        (spec(profile="tau2-v1", domains=["retail", "telecom"]), "tau2-v1 has no data for retail"),
    ],
    ids=["retail alone", "a task of talk alone", "a workflow without telecom", "no judge", "v1 of retail"],
)
def test_options_that_do_not_fit_the_tasks_are_refused_when_the_run_is_planned(given, words):
    with pytest.raises(ValueError, match=words):
        Tau2().list_units(given)


def test_another_policy_makes_another_dataset():
    hashes = {Tau2().list_units(spec(domains=["telecom"], **o)).dataset_hash for o in ({}, {"policy": "workflow"})}
    assert len(hashes) == 2


async def test_an_expert_writes_the_agents_turn_and_the_agents_own_text_is_dropped():
    ask = Scripted(
        user=[Reply("Hello."), Reply("Yes."), STOP],
        agent=[Reply("Hm.", (call("call_expert", expert="expert-2"),)), Reply("It is done.")],
        expert_2=[Reply("Shall I?")],
    )
    transcript = await converse(ask, spec(experts=["expert-1", "expert-2"]))
    assert [m["content"] for m in transcript["messages"]][2] == "Shall I?"
    assert transcript["messages"][2]["expert"] == "expert-2"
    assert transcript["delegations"] == [{"message": 2, "expert": "expert-2", "said": "Hm."}]
    assert "expert" not in transcript["messages"][4]
    assert transcript["counts"] == {"call_expert_ok": 1}
    assert Tau2().score(transcript).reward is not None


async def test_an_agent_with_experts_cannot_transfer_and_an_expert_can():
    ask = Scripted(
        user=[Reply("Hello."), STOP],
        agent=[Reply(None, (call("call_expert", expert="expert-1"),))],
        expert_1=[Reply("Goodbye.")],
    )
    given = spec(experts=["expert-1"])
    await converse(ask, given)
    [(_, led, of_agent, _)], [(_, alone, of_expert, _)] = ask.of("agent"), ask.of("expert-1")
    wanted = {"call_expert", "transfer_to_human_agents"}
    assert (wanted & set(of_agent), wanted & set(of_expert)) == ({"call_expert"}, {"transfer_to_human_agents"})
    assert ["call_expert" in m[0]["content"] for m in (led, alone)] == [True, False]
    assert led[1:] == alone[1:], "an expert sees the same conversation"
    told = Tau2().describe(given)
    assert (told["texts"]["retail: agent"], told["texts"]["retail: experts"]) == (
        led[0]["content"],
        alone[0]["content"],
    )
    offered = {whose: [t["function"]["name"] for t in tools] for whose, tools in told["tools"].items()}
    assert offered == {"retail: agent": of_agent, "retail: experts": of_expert}, "what is recorded is what was sent"


async def test_of_several_experts_the_last_one_called_writes_the_turn():
    two = (call("call_expert", 1, expert="expert-1"), call("call_expert", 2, expert="expert-2"))
    ask = Scripted(user=[Reply("Hello."), STOP], agent=[Reply(None, two)], expert_2=[Reply("Bye.")])
    assert (await converse(ask, spec(experts=["expert-1", "expert-2"])))["messages"][2]["expert"] == "expert-2"


@pytest.mark.parametrize("named", ["expert-9", ["expert-1"], None])
async def test_an_expert_that_nobody_has_is_an_error_that_the_agent_reads(named):
    ask = Scripted(
        user=[Reply("Hello."), STOP],
        agent=[Reply(None, (call("call_expert", expert=named),)), Reply("Sorry.")],
    )
    transcript = await converse(ask, spec(experts=["expert-1"]))
    assert transcript["messages"][3]["error"] is True
    assert Tau2().score(transcript).reward is not None


async def test_a_conversation_that_outgrows_a_model_is_cut_in_the_middle_where_experts_are_led_and_only_there():
    full = ContextWindowExceededError("full")
    long = [Reply("x" * 500) for _ in range(6)]
    with_experts = Scripted(user=[*[Reply("y" * 500)] * 6, STOP], agent=[*long[:4], full, full, Reply("z"), Reply("w")])
    transcript = await converse(with_experts, spec(experts=["expert-1"]))
    sent = [len(json.dumps(asked[1])) for asked in with_experts.of("agent")]
    assert sent[4] > sent[5] > sent[6]
    assert transcript["termination_reason"] != "context_window_exceeded"
    plain = Scripted(user=[Reply("Hello.")], agent=[full])
    assert (await converse(plain, spec()))["termination_reason"] == "context_window_exceeded"


def test_what_is_cut_never_parts_a_call_from_its_answers():
    turns = [{"role": "system", "content": "policy"}]
    for number in range(6):
        turns += [
            {"role": "user", "content": f"u{number}" * 20},
            {"role": "assistant", "content": None, "tool_calls": [{"id": f"a{number}"}, {"id": f"b{number}"}]},
            {"role": "tool", "tool_call_id": f"a{number}", "content": "r" * 50},
            {"role": "tool", "tool_call_id": f"b{number}", "content": "r" * 50},
        ]
    for share in (0.9, 0.6, 0.3, 0.0):
        kept = cut_middle(turns, share)
        called = [c["id"] for m in kept for c in m.get("tool_calls", ())]
        assert called == [m["tool_call_id"] for m in kept if m["role"] == "tool"]
        assert [kept[0], kept[1], kept[-1]] == [turns[0], turns[1], turns[-1]]
        assert len(kept) < len(turns)
    assert cut_middle(turns, 1.0) == turns


NL_TASK = "create_task_1_nl_eval"


async def judged(answer, **options):
    ask = Scripted(user=[Reply("Hello."), STOP], agent=[Reply("You are great.")], judge=[answer])
    given = spec(judge=True, domains=["mock"], judgeAssertions=True, **options)
    transcript = await converse(ask, given, "mock", NL_TASK)
    verdict = await Tau2().judge(transcript, given, ask)
    return Tau2().score({**transcript, "verdict": verdict}), ask


def verdicts(*met):
    return Reply("Here: " + json.dumps({"verdicts": [{"number": n, "met": m} for n, m in enumerate(met, 1)]}))


@pytest.mark.parametrize(("met", "reward"), [((True, True), 1.0), ((True, False), 0.0)], ids=["all met", "one not met"])
async def test_a_judges_verdict_is_part_of_the_reward(met, reward):
    score, ask = await judged(verdicts(*met))
    assert (score.reward, score.breakdown["NL_ASSERTION"]) == (reward, reward)
    [(_, messages, tools, _)] = ask.of("judge")
    assert "agent: You are great." in messages[1]["content"]
    assert "2. The user is complimented" in messages[1]["content"]
    assert tools == []


@pytest.mark.parametrize(
    "answer",
    [
        Reply("Yes, all fine."),
        Reply(None),
        verdicts(True),
        Reply('{"verdicts": [{"number": 1, "met": "true"}, {"number": 2, "met": "true"}]}'),
        ContextWindowExceededError("long"),
    ],
    ids=["words", "nothing", "one of two", "text for truth", "too long for it"],
)
async def test_a_judge_that_gives_no_verdict_is_an_infra_error_never_a_pass(answer):
    with pytest.raises(ModelError, match="judge"):
        await judged(answer)


async def test_without_the_option_no_judge_is_asked_and_the_mock_domain_grades_by_its_rules():
    for task_id in dataset.splits("mock")["base"]:
        task = dataset.task("mock", task_id)
        acts = [Reply(None, (call(a.name, n, **dict(a.arguments)),)) for n, a in enumerate(task.criteria.actions or ())]
        said = " ".join(task.criteria.communicate) or "Done."
        if not task.criteria.actions and task.criteria.assertions:
            acts = [Reply(None, (call("update_task_status", task_id="task_2", status="completed"),))]
        opening = [] if task.history else [Reply("Hello.")]
        ask = Scripted(user=[*opening, *([Reply("Go on.")] if task.history else []), STOP], agent=[*acts, Reply(said)])
        transcript = await converse(ask, spec(domains=["mock"]), "mock", task_id)
        assert await Tau2().judge(transcript, spec(domains=["mock"]), ask) == {}
        assert Tau2().score(transcript).reward == 1.0, task_id
        idle = Scripted(user=[*opening, *([Reply("Go on.")] if task.history else []), STOP], agent=[Reply("No.")])
        if (task.criteria.actions or task.criteria.assertions) and task_id != "impossible_task_1":
            assert Tau2().score(await converse(idle, spec(domains=["mock"]), "mock", task_id)).reward != 1.0, task_id
