"""HLE and FRAMES against scripted models: every branch of the rounds, of the tools and of the verdict."""

import json
from dataclasses import dataclass, field

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
from toolorch_evaluator.benchmarks.questions.benchmark import frames, hle
from toolorch_evaluator.benchmarks.questions.search import Found
from toolorch_evaluator.sandbox.errors import KeeperError

ROWS = [
    {"id": "q1", "question": "How many sides has a square?", "answer": "Four", "image": ""},
    {"id": "q2", "question": "What is the capital of Atlantis, as told?", "answer": "Poseidonis"},
    {"id": "q3", "question": "What does the picture show?", "answer": "A cat", "image": "iVBOR"},
]
FILE = "\n".join(map(json.dumps, ROWS)).encode()


def spec(name="hle", experts=("reasoner-1", "search-1", "answer-1", "answer-math-1"), retrieval=True, **benchmark):
    roles = {"agent": {"pool": "a"}, "judge": {"pool": "j"}, "experts": {e: {"pool": f"pool-{e}"} for e in experts}}
    roles |= {"retrieval": {"url": "http://docs"}} if retrieval else {}
    fields = {"name": name, "dataset": {"uri": "file:///q.jsonl"}, **benchmark}
    return EvalRunSpec.model_validate({"benchmark": fields, "roles": roles})


class Scripted:
    """An Ask that plays lists of replies by role; an exception in a list is raised."""

    def __init__(self, **replies):
        self.replies = {role.replace("_", "-"): list(given) for role, given in replies.items()}
        self.asked = []

    async def __call__(self, role, messages, tools=(), seed=None, wants=None):
        self.asked.append((role, list(messages), [t["function"]["name"] for t in tools], seed, wants))
        reply = self.replies[role].pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def prompts(self, role):
        return [asked[1][-1]["content"] for asked in self.asked if asked[0] == role]


@dataclass
class Ran:
    stdout: str
    ending: str = "ok"


@dataclass
class Machine:
    """Programs and searches that answer from lists."""

    ran: list = field(default_factory=list)
    found: list = field(default_factory=list)
    programs: list = field(default_factory=list)
    queries: list = field(default_factory=list)

    async def run(self, program):
        self.programs.append(program)
        given = self.ran.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    async def search(self, query, question, count):
        self.queries.append((query, question, count))
        return self.found.pop(0)


def use(tool, model=None, **more):
    models = {"enhance_reasoning": "reasoner-1", "search": "search-1", "answer": "answer-1"}
    return ToolCall("c", tool, {"model": model or models.get(tool), **more})


def calls(*chosen):
    return Reply(None, tuple(chosen))


REASON, SEARCH, ANSWER = calls(use("enhance_reasoning")), calls(use("search")), calls(use("answer"))
PROGRAM = Reply("Let us see.\n```python\nprint(2 + 2)\n```\n")
FOUR = Reply("Thus <answer>four</answer>")
QUERY = Reply("<query>sides of a square</query>")


async def loaded(bench, file=FILE):
    async def read(uri):
        return file

    await bench.load(spec(bench.name), read)
    return bench


async def hold(ask, machine=None, name="hle", task="q1", **options):
    bench = await loaded(hle() if name == "hle" else frames())
    bench.programs = bench.searches = machine or Machine()
    given = spec(name, **options)
    transcript = await bench.converse(Unit("control", name, task, 0), given, ask)
    assert json.loads(json.dumps(transcript)) == transcript
    return bench, transcript


def outcomes(transcript):
    return [(entry["round"], entry["tool"], entry["outcome"]) for entry in transcript["rounds"]]


async def test_notes_of_each_round_reach_the_next_one_and_an_answer_ends_the_question():
    machine = Machine(ran=[Ran("4\n")], found=[Found(("worst", "best"))])
    ask = Scripted(agent=[REASON, SEARCH, ANSWER], reasoner_1=[PROGRAM], search_1=[QUERY], answer_1=[FOUR])
    bench, transcript = await hold(ask, machine)
    assert transcript["termination_reason"] == "answered"
    assert outcomes(transcript) == [(1, "enhance_reasoning", "ok"), (2, "search", "ok"), (3, "answer", "ok")]
    assert machine.programs == ["print(2 + 2)\n"]
    assert machine.queries == [("sides of a square", "q1", 50)]
    first, second, third = ask.prompts("agent")
    assert "notes" not in first.partition("Choose")[0]
    assert "```python\nprint(2 + 2)\n```\nIt printed:\n4" in second
    assert third.index("best") < third.index("It printed"), "the best document stands last among documents"
    assert "worst" in ask.prompts("answer-1")[0]
    assert len({asked[3] for asked in ask.asked if asked[0] == "agent"}) == 3, "each round has a seed of its own"
    assert await bench.judge(transcript, spec(), ask) == {"correct": True, "by": "match"}


async def test_what_is_stored_of_a_gated_question_holds_neither_question_nor_answer_nor_what_was_asked_for():
    machine = Machine(ran=[Ran("4\n")], found=[Found(("a square has four sides",))])
    ask = Scripted(agent=[REASON, SEARCH, ANSWER], reasoner_1=[PROGRAM], search_1=[QUERY], answer_1=[FOUR])
    _, transcript = await hold(ask, machine)
    stored = json.dumps(transcript).lower()
    for word in ("square", "four", "print(2", "sides"):
        assert word not in stored
    _, open_ = await hold(Scripted(agent=[ANSWER], answer_1=[FOUR]), name="frames")
    assert (open_["question"], open_["answer"]) == (ROWS[0]["question"], "four")


async def test_a_sealed_answer_opens_only_with_the_question_that_it_was_given_to():
    bench, transcript = await hold(Scripted(agent=[ANSWER], answer_1=[FOUR]))
    other = await loaded(hle(), FILE.replace(b"a square?", b"a triangle?"))
    with pytest.raises(ValueError, match="another version of the question"):
        await other.judge(transcript, spec(), Scripted())
    assert (await bench.judge(transcript, spec(), Scripted()))["correct"] is True


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("I would search."), "no tool call"),
        (calls(ToolCall("c", "fly", {})), "unknown tool fly"),
        (calls(use("answer", "answer-9")), "answer of 'answer-9'"),
        (calls(ToolCall("c", "answer", {})), "answer of None"),
        (InvalidReplyError("no JSON"), "no JSON"),
    ],
    ids=["no tool", "an unknown tool", "an unknown model", "no model", "arguments that are no JSON"],
)
async def test_a_reply_that_chooses_nothing_valid_costs_a_round(reply, why):
    _, transcript = await hold(Scripted(agent=[reply, ANSWER], answer_1=[FOUR]))
    assert outcomes(transcript) == [(1, "", "wasted"), (2, "answer", "ok")]
    assert why in transcript["rounds"][0]["why"]
    assert transcript["counts"]["wasted_rounds"] == 1


async def test_in_hle_only_the_first_valid_choice_is_carried_out():
    ask = Scripted(agent=[calls(use("answer", "nobody"), use("answer"), use("search"))], answer_1=[FOUR])
    _, transcript = await hold(ask)
    assert outcomes(transcript) == [(1, "answer", "ok")]


async def test_in_frames_different_tools_are_used_side_by_side_each_once_up_to_an_answer():
    machine = Machine(ran=[Ran("4")], found=[Found(("doc",))])
    several = calls(use("enhance_reasoning"), use("search"), use("search"), use("answer"), use("enhance_reasoning"))
    ask = Scripted(agent=[several], reasoner_1=[PROGRAM], search_1=[QUERY], answer_1=[FOUR])
    _, transcript = await hold(ask, machine, "frames")
    assert [tool for _, tool, _ in outcomes(transcript)] == ["enhance_reasoning", "search", "answer"]
    assert machine.queries[0][2] == 150


async def test_in_frames_the_search_is_taken_away_once_it_has_found_something():
    machine = Machine(found=[Found(()), Found(("doc",))])
    ask = Scripted(agent=[SEARCH, SEARCH, SEARCH, ANSWER], search_1=[QUERY, QUERY], answer_1=[FOUR])
    _, transcript = await hold(ask, machine, "frames")
    assert [o for _, _, o in outcomes(transcript)] == ["nothing_found", "ok", "wasted", "ok"]
    assert ["search" in asked[2] for asked in ask.asked if asked[0] == "agent"] == [True, True, False, False]


async def test_rounds_end_and_what_is_unanswered_then_is_wrong():
    ask = Scripted(agent=[Reply("Hm.")] * 3)
    bench, transcript = await hold(ask, options={"maxRounds": 3})
    assert transcript["termination_reason"] == "max_rounds"
    assert await bench.judge(transcript, spec(), ask) == {"correct": False, "by": "empty"}


@pytest.mark.parametrize(
    ("written", "ran", "outcome"),
    [
        (Reply("No program."), None, "no_program"),
        (Reply(None), None, "no_program"),
        (PROGRAM, Ran(" \n"), "program_silent"),
        (PROGRAM, Ran("half", "timeout"), "program_timeout"),
        (PROGRAM, Ran("", "policy"), "program_policy"),
        (PROGRAM, Ran("", "error"), "program_error"),
        (InvalidReplyError("x"), None, "no_program"),
    ],
    ids=["no program", "nothing", "silent", "too slow", "against the rules", "raises", "unreadable"],
)
async def test_a_program_that_prints_nothing_leaves_no_note(written, ran, outcome):
    ask = Scripted(agent=[REASON, ANSWER], reasoner_1=[written], answer_1=[FOUR])
    _, transcript = await hold(ask, Machine(ran=[ran] if ran else []))
    assert outcomes(transcript)[0] == (1, "enhance_reasoning", outcome)
    assert transcript["counts"][f"enhance_reasoning_{outcome}"] == 1
    assert "Programs:" not in ask.prompts("agent")[1]


async def test_a_sandbox_that_cannot_run_a_program_safely_is_an_infra_error():
    ask = Scripted(agent=[REASON], reasoner_1=[PROGRAM])
    with pytest.raises(ModelError, match="no landlock") as caught:
        await hold(ask, Machine(ran=[KeeperError("no landlock")]))
    assert caught.value.cause == "sandbox_failed"


@pytest.mark.parametrize(
    ("written", "found", "outcome", "asked"),
    [
        (Reply("<query>ab</query>"), None, "query_too_short", None),
        (Reply("no marks"), Found(("doc",)), "ok", ROWS[0]["question"]),
        (Reply(f"<query>{'x' * 500}</query>"), Found(("doc",)), "ok", "x" * 390),
        (QUERY, Found(()), "nothing_found", "sides of a square"),
        (QUERY, Found(failed="HTTP 503"), "retrieval_unavailable", "sides of a square"),
    ],
    ids=["too short", "no marks", "too long", "nothing found", "the service is away"],
)
async def test_a_search_is_told_by_its_outcome(written, found, outcome, asked):
    machine = Machine(found=[found] if found else [])
    ask = Scripted(agent=[SEARCH, ANSWER], search_1=[written], answer_1=[FOUR])
    _, transcript = await hold(ask, machine)
    assert outcomes(transcript)[0] == (1, "search", outcome)
    assert transcript["counts"][f"search_{outcome}"] == 1
    assert [q[0] for q in machine.queries] == ([asked] if asked else [])


async def test_a_document_that_is_known_is_not_noted_twice():
    machine = Machine(found=[Found(("a", "b", "a")), Found(("b", "c"))])
    ask = Scripted(agent=[SEARCH, SEARCH, ANSWER], search_1=[QUERY, QUERY], answer_1=[FOUR])
    _, transcript = await hold(ask, machine)
    assert [entry["documents"] for entry in transcript["rounds"][:2]] == [2, 1]


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        (Reply("<answer>3</answer> no, <answer> 4 </answer>"), "4"),
        (Reply("<think>hm</think> It is 4"), "It is 4"),
        (Reply(None), ""),
    ],
    ids=["the last marked", "all of it, without thoughts", "nothing"],
)
async def test_the_answer_is_what_stands_between_the_marks(written, answer):
    ask = Scripted(agent=[ANSWER], answer_1=[written])
    _, transcript = await hold(ask, name="frames")
    assert (transcript["termination_reason"], transcript["answer"]) == ("answered", answer)
    assert ask.asked[-1][4]["chat_template_kwargs"] == {"enable_thinking": False}


async def test_notes_are_shown_in_part_where_a_models_window_is_too_small_for_them():
    full = ContextWindowExceededError("full")
    machine = Machine(found=[Found(tuple(f"{n} " + "x" * 3000 for n in range(40)))])
    ask = Scripted(agent=[SEARCH, full, full, ANSWER], search_1=[QUERY], answer_1=[full, FOUR])
    _, transcript = await hold(ask, machine)
    assert transcript["termination_reason"] == "answered"
    sent = [len(p) for p in ask.prompts("agent")]
    assert sent[1] > sent[2] > sent[3]
    whole, half = map(len, ask.prompts("answer-1"))
    assert whole > half


async def test_an_agent_whose_window_does_not_even_hold_the_question_has_lost():
    ask = Scripted(agent=[ContextWindowExceededError("full")] * 4)
    bench, transcript = await hold(ask)
    assert transcript["termination_reason"] == "context_window_exceeded"
    assert (await bench.judge(transcript, spec(), ask))["correct"] is False


async def test_a_model_server_that_fails_is_an_infra_error():
    with pytest.raises(ModelError, match="down"):
        await hold(Scripted(agent=[ANSWER], answer_1=[ModelError("model_unreachable", "down")]))


async def judged(*words, answer="4", name="frames"):
    bench, transcript = await hold(Scripted(agent=[ANSWER], answer_1=[Reply(f"<answer>{answer}</answer>")]), name=name)
    ask = Scripted(judge=words)
    return bench, transcript, ask, await bench.judge(transcript, spec(name), ask)


@pytest.mark.parametrize(
    ("word", "correct"), [("<correct> TRUE </correct>", True), ("Hm. <correct>False</correct>", False)]
)
async def test_a_judge_decides_what_does_not_match_by_letters(word, correct):
    bench, transcript, ask, verdict = await judged(Reply(word))
    assert verdict == {"correct": correct, "by": "judge"}
    assert bench.score({**transcript, "verdict": verdict}).reward == float(correct)
    assert "<reference>\nFour\n</reference>" in ask.prompts("judge")[0]


async def test_a_judge_is_asked_again_when_its_word_is_unclear_and_then_it_is_an_infra_error():
    _, _, ask, verdict = await judged(Reply("Perhaps."), Reply("<correct>True</correct>"))
    assert (verdict["correct"], len(ask.asked)) == (True, 2)
    with pytest.raises(ModelError, match="no verdict in 3"):
        await judged(*[Reply("Perhaps.")] * 3)
    with pytest.raises(ModelError, match="could not answer"):
        await judged(ContextWindowExceededError("x"))


@pytest.mark.parametrize(("answer", "by"), [("fOUR ", "match"), ("w " * 501, "length")], ids=["by letters", "an essay"])
async def test_rules_come_before_the_judge(answer, by):
    *_, ask, verdict = await judged(answer=answer)
    assert (verdict["by"], ask.asked) == (by, [])


async def test_without_a_verdict_nothing_is_graded():
    bench, transcript = await hold(Scripted(agent=[ANSWER], answer_1=[FOUR]))
    assert bench.score(transcript).reward is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (spec(experts=["answer-1", "expert-1"]), "expert-1 has no place here"),
        (spec(experts=["reasoner-1"], retrieval=False), "at least answer-1"),
        (spec(retrieval=False), "roles.retrieval.url is needed"),
        (spec(taskIds=["q9"]), "unknown task 'q9'"),
        (spec().model_copy(update={"user_variants": ["anger"]}), "has no simulated user"),
    ],
    ids=["a stranger", "nobody answers", "nothing to search", "an unknown question", "a mood"],
)
async def test_a_spec_that_cannot_work_is_refused_when_the_run_is_planned(given, words):
    bench = await loaded(hle())
    with pytest.raises(ValueError, match=words):
        bench.list_units(given)


async def test_units_are_the_questions_without_an_image():
    bench = await loaded(hle())
    assert [u.task_id for u in bench.list_units(spec()).units] == ["q1", "q2"]
    assert [u.task_id for u in bench.list_units(spec(numTasks=1)).units] == ["q1"]
    assert [u.task_id for u in bench.list_units(spec(taskIds=["q2"])).units] == ["q2"]


@pytest.mark.parametrize("name", ["hle", "frames"])
async def test_what_is_recorded_of_a_runs_texts_was_sent_and_names_no_question(name):
    ask = Scripted(agent=[ANSWER], answer_1=[FOUR])
    bench, _ = await hold(ask, name=name)
    told = bench.describe(spec(name))
    sent = json.dumps([messages for _, messages, *_ in ask.asked])
    for whose in ("agent: system", "agent: each round", "answer"):
        assert json.dumps(told["texts"][whose])[1:-1] in sent
    assert "square" not in json.dumps(told)


async def test_without_search_models_the_tool_is_not_offered():
    ask = Scripted(agent=[ANSWER], answer_1=[FOUR])
    await hold(ask, experts=["answer-1", "reasoner-1"], retrieval=False)
    assert ask.asked[0][2] == ["enhance_reasoning", "answer"]
