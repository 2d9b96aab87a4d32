"""The generic agent serves requests that belong to no known unit, such as a check of tool calling."""

from __future__ import annotations

import re

from toolorch_mock.brains.base import Answer, Call, Turn, text_of
from toolorch_mock.brains.schema import minimal_value

# A message of no more words is a greeting rather than a wish.
_GREETING_WORDS = 3


def answer_generic(turn: Turn) -> Answer:
    """Call the tool that the last user message names or asks for; after a tool's result, tell it."""
    last = turn.messages[-1] if turn.messages else {}
    if last.get("role") == "tool":
        return Answer(f"The tool answered: {text_of(last)}")
    name = wanted_tool(turn)
    if name is None:
        return Answer("Hello, how can I help?")
    return Answer(call=build_call(turn, name))


def wanted_tool(turn: Turn) -> str | None:
    """Return the offered tool that the last user message wants, None for a greeting."""
    return _named_tool(turn) or _suited_tool(turn)


def _named_tool(turn: Turn) -> str | None:
    """Return the offered tool whose name the last user message holds as a word (the longest, if several)."""
    words = set(re.findall(r"[\w.-]+", _wish(turn)))
    plain = words | {word.rstrip(".") for word in words}
    return max((name for name in turn.tools if name in plain), key=len, default=None)


def _suited_tool(turn: Turn) -> str | None:
    """Return the tool that shares the most words with a wish: by name, then by description, else the first one."""
    wish = _wish(turn)
    if len(wish.split()) <= _GREETING_WORDS:
        return None
    words = _words(wish)

    def likeness(name: str) -> tuple[int, int]:
        return len(words & _words(name)), len(words & _words(turn.tools[name].get("description") or ""))

    return max(turn.tools, key=likeness, default=None)


def _words(text: str) -> set[str]:
    # Shorter ones are in every sentence.
    return set(re.findall(r"[a-z]{3,}", text.lower()))


def _wish(turn: Turn) -> str:
    """Return the last user message."""
    said = turn.texts("user")
    return said[-1] if said else ""


def build_call(turn: Turn, name: str) -> Call:
    """Build a call of an offered tool with the least arguments that its schema allows."""
    arguments = minimal_value(turn.tools[name].get("parameters") or {"type": "object"})
    return Call(name, arguments if isinstance(arguments, dict) else {})
