"""The generic agent serves requests that belong to no known unit, such as a readiness probe of tool calling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from toolorch_mock.brains.base import Answer, Call, Turn, text_of


def answer_generic(turn: Turn) -> Answer:
    """Call the tool that the last user message names; after a tool's result, or without a name, answer in text."""
    last = turn.messages[-1] if turn.messages else {}
    if last.get("role") == "tool":
        return Answer(f"The tool answered: {text_of(last)}")
    name = named_tool(turn)
    if name is None:
        return Answer("Hello, how can I help?")
    return Answer(call=build_call(turn, name))


def named_tool(turn: Turn) -> str | None:
    """Return the offered tool whose name the last user message holds as a word (the longest, if several)."""
    said = turn.texts("user")
    words = set(re.findall(r"[\w.-]+", said[-1])) if said else set()
    plain = words | {word.rstrip(".") for word in words}
    return max((name for name in turn.tools if name in plain), key=len, default=None)


def build_call(turn: Turn, name: str) -> Call:
    """Build a call of an offered tool with the least arguments that its schema allows."""
    arguments = minimal_value(turn.tools[name].get("parameters") or {"type": "object"})
    return Call(name, arguments if isinstance(arguments, dict) else {})


def minimal_value(schema: Mapping[str, Any]) -> Any:
    """Return a small value that a JSON schema allows: required properties only, first of an enum, lowest number."""
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return minimal_value(schema[union][0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _minimal_of(kind[0] if isinstance(kind, list) else kind, schema)


def _minimal_of(kind: str, schema: Mapping[str, Any]) -> Any:
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: minimal_value(properties.get(name) or {}) for name in schema.get("required") or ()}
    if kind == "array":
        return [minimal_value(schema.get("items") or {})] * max(schema.get("minItems", 0), 1)
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    return None if kind == "null" else "x" * max(schema.get("minLength", 0), 1)
