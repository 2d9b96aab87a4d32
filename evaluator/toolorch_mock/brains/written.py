"""Agents that are offered no tools and write their actions: what the oracle would do, in the form that is asked for.

The form is that of τ-bench's strategies act and react: JSON with name and arguments after the word `Action:`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from toolorch_mock.brains.base import Answer, Turn, text_of

_MARK = "Action:"
_THOUGHT = "Thought:"
_SPEAK = "respond"
_OBSERVED = "API output: "


def must_write(turn: Turn) -> bool:
    """Whether the agent's actions have to be written."""
    return not turn.tools and turn.reference is not None and f"{_MARK}\n" in _instructions(turn)


def read_written(turn: Turn) -> Turn:
    """Return the turn as it would be with tools: each written action a call, each observation its result."""
    actions = turn.reference.actions if turn.reference is not None else ()
    return replace(turn, messages=list(_messages(turn)), tools={action.name: {} for action in actions})


def write(answer: Answer, turn: Turn) -> Answer:
    """Return an answer as the text of one action, after a thought where that is asked for."""
    name, arguments = (_SPEAK, {"content": answer.text or ""}) if answer.call is None else _parts(answer)
    thought = f"{_THOUGHT}\nThis is the next step.\n" if _THOUGHT in _instructions(turn) else ""
    return Answer(f"{thought}{_MARK}\n{json.dumps({'name': name, 'arguments': arguments})}")


def _parts(answer: Answer) -> tuple[str, dict[str, Any]]:
    assert answer.call is not None
    return answer.call.name, dict(answer.call.arguments)


def _instructions(turn: Turn) -> str:
    return "\n".join(turn.texts("system"))


def _messages(turn: Turn) -> Iterator[Mapping[str, Any]]:
    for message in turn.messages:
        text = text_of(message)
        if message.get("role") == "assistant":
            yield _unwritten(text)
        elif message.get("role") == "user" and text.startswith(_OBSERVED):
            yield {"role": "tool", "content": text.removeprefix(_OBSERVED)}
        else:
            yield message


def _unwritten(text: str) -> Mapping[str, Any]:
    try:
        action = json.loads(text.rpartition(_MARK)[2])
        name, arguments = action["name"], action["arguments"]
    except (ValueError, KeyError, TypeError):
        return {"role": "assistant", "content": text}
    if name == _SPEAK:
        return {"role": "assistant", "content": arguments.get("content", "")}
    return {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": json.dumps(arguments)}}]}
