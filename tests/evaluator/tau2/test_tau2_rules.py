"""Profiles: what v1's rules change, and what they leave as it is."""

import random
from datetime import UTC, datetime

import pytest

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks.base import Reply, ToolCall
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.alone import check_solo
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.message import Call
from toolorch_evaluator.benchmarks.tau2.prompts import GREETING
from toolorch_evaluator.benchmarks.tau2.rules import V0_2, V1, rules_of
from toolorch_evaluator.benchmarks.tau2.toolkits import toolkit
from toolorch_evaluator.stored import Conversation, Evidence, build_result, grade

SMALL = dataset.splits("telecom")["small"]
LOOK = Reply(None, (ToolCall("c", "get_customer_by_id", {"customer_id": "C1001"}),))


async def converse(profile, agent, user, **options):
    replies, asked = {"agent": list(agent), "user": list(user)}, []

    async def ask(role, messages, tools=(), seed=None, wants=None):
        asked.append((role, list(messages)))
        return replies[role].pop(0)

    fields = {"name": "tau2", "domains": ["telecom"], "options": {"profile": profile, **options}}
    roles = {"agent": {"pool": "a"}, "user": {"pool": "u"}}
    spec = EvalRunSpec.model_validate({"benchmark": fields, "roles": roles})
    return await Tau2().converse(Unit("control", "telecom", SMALL[0], 0), spec, ask), asked


@pytest.mark.parametrize(("profile", "shown"), [(V0_2, False), (V1, True)])
async def test_v1_shows_the_agents_model_the_greeting(profile, shown):
    _, asked = await converse(profile, [Reply("Yes.")], [Reply("Hello."), Reply("###STOP###")])
    first = next(messages for role, messages in asked if role == "agent")
    assert ({"role": "assistant", "content": GREETING} in first) == shown


@pytest.mark.parametrize(("profile", "steps", "last"), [(V0_2, 2, "assistant"), (V1, 3, "tool")])
async def test_v1_answers_the_last_calls_before_a_limit_ends_it(profile, steps, last):
    transcript, _ = await converse(profile, [LOOK], [Reply("Hello.")], maxSteps=2)
    assert (transcript["termination_reason"], transcript["steps"]) == ("max_steps", steps)
    assert (transcript["messages"][-1]["role"], transcript["profile"]) == (last, profile)


def transcript_of(profile, *calls, tampered):
    """A transcript of one agent's calls, whose answer number `tampered` is not what the tool said."""
    environment, messages = Environment(dataset.task("telecom", SMALL[0])), []
    for number, (name, arguments) in enumerate(calls):
        call = {"id": f"c{number}", "name": name, "arguments": arguments, "requestor": "assistant"}
        answer = environment.answer(Call(**call)).content if number != tampered else "something else"
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "id": call["id"], "content": answer},
        ]
    ends = {"domain": "telecom", "task_id": SMALL[0], "termination_reason": "user_stop", "profile": profile}
    return {**ends, "messages": messages}


CALLS = (
    ("get_customer_by_id", {"customer_id": "C1001"}),
    ("nope", {}),
    ("enable_roaming", {"customer_id": "C1001", "line_id": "L1001"}),
)


@pytest.mark.parametrize(
    ("profile", "tampered", "gradable"),
    [(V0_2, 0, False), (V0_2, 1, False), (V0_2, 2, False), (V1, 0, True), (V1, 1, True), (V1, 2, False)],
    ids=lambda value: str(value),
)
def test_v1_replays_only_what_writes(profile, tampered, gradable):
    score = Tau2().score(transcript_of(profile, *CALLS, tampered=tampered))
    assert (score.reward is not None) == gradable


def test_what_v1_does_not_replay_changes_nothing(random_call):
    rng, kinds = random.Random(6), set()
    environments = {d: Environment(next(iter(dataset.tasks(d).values()))) for d in ("telecom", "mock")}
    for number in range(300):
        domain = "mock" if number % 6 == 0 else "telecom"
        name, arguments, side = random_call(domain, rng)
        before = environments[domain].state()
        failed = environments[domain].answer(Call("c", name, arguments, side)).error
        writes = rules_of(V1).replays(domain, name)
        changed = environments[domain].state() != before
        assert writes or not changed, name
        kinds.add((writes, changed, failed))
    assert {(False, False, False), (True, True, False), (True, False, True)} <= kinds


def test_v1s_writing_tools_are_tools_and_neither_all_nor_none():
    for domain, sides in {"telecom": ("assistant", "user"), "mock": ("assistant",)}.items():
        names = {name for side in sides for name in toolkit(domain, side).names}
        writing = {name for name in names if rules_of(V1).replays(domain, name)}
        assert len(writing) == {"telecom": 21, "mock": 2}[domain]
        assert names - writing


def test_whatever_v0_2_grades_v1_grades_alike(disturbed):
    graded = 0
    for seed, task_id in enumerate(SMALL):
        transcript = disturbed("telecom", task_id, seed)
        older, newer = (Tau2().score({**transcript, "profile": profile}) for profile in (V0_2, V1))
        if older.reward is not None:
            graded += 1
            assert older == newer
    assert graded > 10


def test_the_profile_is_in_the_result_and_an_unknown_one_is_named():
    transcript = transcript_of(V1, tampered=None)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    evidence = Evidence(spec_hash="h", attempt=1, pod="p", started_at=now, ended_at=now)
    outcome = grade(Conversation(transcript, evidence), Tau2().score(transcript))
    assert build_result(Unit("control", "telecom", SMALL[0], 0), outcome, evidence, 0).profile == V1
    with pytest.raises(ValueError, match=r"unknown profile 'tau2-v9' of tau2: known are tau2-v0\.2, tau2-v1"):
        Tau2().score({**transcript, "profile": "tau2-v9"})


def _can_be_done_alone(task):
    try:
        check_solo(task)
    except ValueError:
        return False
    return True


def test_alone_can_be_done_what_upstream_lets_be_done():
    assert [task.id for task in dataset.tasks("mock").values() if not _can_be_done_alone(task)] == [
        "create_task_1_nl_eval",
        "update_task_with_message_history",
        "update_task_with_history_and_env_assertions",
    ]
