"""The scripted user states the reason, performs the user-side actions it is asked for, and ends the conversation."""

from __future__ import annotations

from toolorch_mock.brains import phrases
from toolorch_mock.brains.base import Answer, Call, Turn, count_done, text_of
from toolorch_mock.brains.generic import answer_generic

# So many texts of the agent without progress, its greeting left out, and the user gives up.
_PATIENCE = 2


def answer_user(turn: Turn) -> Answer:
    """Say or do what the agent's last text asks for; stop when it closes, refuses or gets nowhere."""
    if turn.tools and not turn.is_of_benchmark:
        return answer_generic(turn)
    heard = turn.texts("user")
    if not turn.texts("assistant") and not any(turn.own_calls()):
        return Answer(phrases.open_with("\n".join(turn.texts("system")), turn.caller.domain if turn.caller else ""))
    last = heard[-1] if heard else ""
    if phrases.is_closing(last) or phrases.is_refusal(last):
        return Answer(phrases.GOODBYE)
    until = phrases.asked_until(last)
    if until is not None:
        return _perform(turn, until)
    return Answer(phrases.GOODBYE if _is_stuck(turn) else phrases.GO_ON)


def _perform(turn: Turn, until: int) -> Answer:
    """Call the next action below step `until`, or report."""
    actions = [a for a in turn.reference.actions if a.requestor == "user"] if turn.reference else []
    done = count_done(actions, turn.own_calls())
    if done >= min(until, len(actions)):
        return Answer(phrases.report(done, len(actions)))
    action = actions[done]
    if action.name not in turn.tools:
        return Answer(phrases.missing_tool(action.name))
    return Answer(call=Call(action.name, action.arguments))


def _is_stuck(turn: Turn) -> bool:
    """Whether the agent has only talked since the user's opening words or the last step."""
    talk = 0
    for message in turn.messages:
        if message.get("role") == "assistant" and message.get("tool_calls"):
            talk = 0
        elif message.get("role") == "user" and text_of(message):
            talk += 1
    greeted = _speaks_first(turn)
    return talk - greeted >= _PATIENCE


def _speaks_first(turn: Turn) -> bool:
    """Whether the agent's greeting opens the conversation."""
    first = next((m for m in turn.messages if m.get("role") in ("user", "assistant")), {})
    return first.get("role") == "user"
