"""The oracle at questions: the agent searches, computes and has answered; behind the tools it does what is asked."""

from __future__ import annotations

import json
import re
from functools import cache

from toolorch_mock.brains.base import Answer, Call, Turn

DOMAINS = ("hle", "frames")
# What the agent does in its first rounds, where the tool is offered; then it has the question answered.
_ROUNDS = ("search", "enhance_reasoning")
_PROGRAM = "```python\nprint('six times seven is', 6 * 7)\n```"
_PROBLEM = re.compile(r"<problem>\n(.*?)\n</problem>", re.DOTALL)
_NUMBERED = re.compile(r"^(\d+)\. ", re.MULTILINE)
_PARTS = re.compile(r"<answer>\n(.*?)\n</answer>\n<reference>\n(.*?)\n</reference>", re.DOTALL)


def is_question(turn: Turn) -> bool:
    """Whether a turn is about a question, or a judge's."""
    return turn.caller is not None and (turn.caller.domain in DOMAINS or turn.caller.role == "judge")


def answer_question(turn: Turn) -> Answer:
    """Do the part of the role that is asked for."""
    role = turn.caller.role if turn.caller else ""
    asked = (turn.texts("user") or [""])[-1]
    if role == "agent":
        return _choose(turn)
    if role == "judge":
        return Answer(_judge(asked))
    if role.startswith("reasoner-"):
        return Answer(_PROGRAM)
    if role.startswith("search-"):
        return Answer(f"<query>{''.join(_PROBLEM.findall(asked)[:1])}</query>")
    known = _known_answers().get(turn.caller.task_slug) if turn.caller else None
    return Answer(f"<answer>{known or 'nobody knows'}</answer>")


def _choose(turn: Turn) -> Answer:
    number = turn.caller.number if turn.caller else 1
    wanted = [tool for tool in _ROUNDS[number - 1 : number] if tool in turn.tools]
    tool = wanted[0] if wanted else "answer"
    if tool not in turn.tools:
        return Answer("There is no tool that answers.")
    models = turn.tools[tool]["parameters"]["properties"]["model"]["enum"]
    return Answer(call=Call(tool, {"model": models[0]}))


def _judge(asked: str) -> str:
    """Return a verdict in the form that is asked for: all statements are met, an answer must be its reference."""
    found = _PARTS.search(asked)
    if found is None:
        numbers = _NUMBERED.findall(asked.rpartition("<statements>")[2])
        return json.dumps({"verdicts": [{"number": int(n), "why": "it is so", "met": True} for n in numbers]})
    given, reference = (text.strip().casefold() for text in found.groups())
    return f"They are compared by letters. <correct>{given == reference}</correct>"


@cache
def _known_answers() -> dict[str, str]:
    from toolorch_api.unit import slug
    from toolorch_evaluator.benchmarks.questions.dataset import parse_dataset
    from toolorch_evaluator.benchmarks.questions.sample import read_sample

    return {slug(q.id): q.answer for q in parse_dataset(read_sample("questions")).questions.values()}
