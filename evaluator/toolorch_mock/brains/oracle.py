"""The oracle plays the agent by the task's reference: its own actions in order, the user's by asking for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from toolorch_mock.brains import phrases
from toolorch_mock.brains.base import Action, Answer, Call, Reference, Turn, count_done
from toolorch_mock.brains.generic import answer_generic
from toolorch_mock.brains.questions import answer_question, is_question
from toolorch_mock.brains.written import must_write, read_written, write

# A user who does not report (a real model) is believed after being asked this often: the conversation must end.
_MAX_ASKS = 2
_EXPERTS = "call_expert"


def answer_oracle(turn: Turn) -> Answer:
    """Call the next reference action, ask the user for theirs, or say what must be communicated."""
    if is_question(turn):
        return answer_question(turn)
    reference = turn.reference
    if reference is None:
        return answer_generic(turn)
    if must_write(turn):
        return write(answer_oracle(read_written(turn)), turn)
    expert = _expert(turn)
    if expert:
        return Answer(call=Call(_EXPERTS, {"expert": expert}))
    own = [a for a in reference.actions if a.requestor == "assistant"]
    user = [a for a in reference.actions if a.requestor == "user"]
    done = count_done(own, turn.own_calls())
    needed = _user_actions_before(reference, done)
    reached = _user_reached(turn)
    if reached < needed:
        return Answer(phrases.ask_user([a.name for a in user[reached:needed]], needed, len(user)))
    if done == len(own):
        return Answer(phrases.close(reference.communicate))
    return _act(own[done], turn)


def _expert(turn: Turn) -> str:
    """Return who writes the agent's first turn: an expert in every second unit, each as often; empty: the agent."""
    is_first = len(turn.texts("user")) <= 1 and not any(turn.own_calls())
    if not is_first or _EXPERTS not in turn.tools or turn.caller is None:
        return ""
    number = int(hashlib.sha256(turn.caller.unit_key.encode()).hexdigest()[:8], 16)
    experts: list[str] = turn.tools[_EXPERTS]["parameters"]["properties"]["expert"]["enum"]
    return "" if number % 2 else experts[number // 2 % len(experts)]


def _user_actions_before(reference: Reference, done: int) -> int:
    """Count the user's actions that come before the agent's action number `done` (all of them after its last)."""
    own = user = 0
    for action in reference.actions:
        if action.requestor == "user":
            user += 1
        elif own == done:
            break
        else:
            own += 1
    return user


def _user_reached(turn: Turn) -> int:
    """Return how far the user is: as reported, or as asked often enough."""
    asked = [until for text in turn.texts("assistant") if (until := phrases.asked_until(text)) is not None]
    return max([phrases.reported_done(turn.texts("user")), *_insisted(asked)])


def _insisted(asked: Sequence[int]) -> list[int]:
    return [until for until in set(asked) if asked.count(until) >= _MAX_ASKS]


def _act(action: Action, turn: Turn) -> Answer:
    if action.name not in turn.tools:
        return Answer(phrases.missing_tool(action.name))
    return Answer(call=Call(action.name, action.arguments))
