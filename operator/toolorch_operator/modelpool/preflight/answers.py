"""What a server said to a preflight's request, whole or streamed, and how a call differs from its schema. PURE."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_api.foreign_json import parse_json


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer as it came."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """The message in an answer."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[Mapping[str, Any], ...] = ()
    """As in a message's tool_calls, with the arguments as text."""
    finish_reason: str = ""
    tokens: int = 0
    """Generated tokens as usage counts them; 0 where it is not told."""


def parse_whole(text: str) -> Said:
    """Return what an unstreamed chat completion says; ValueError where it is none."""
    answer = parse_json(text)
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        calls = [_Call(call) for call in message.get("tool_calls") or ()]
        return _said([message], calls, choice.get("finish_reason"), answer.get("usage"))
    except (LookupError, TypeError, AttributeError):
        raise ValueError("the answer is no chat completion") from None


def parse_streamed(text: str) -> Said:
    """Return what the chunks of a chat completion say together; ValueError where they are none."""
    deltas, calls, finish, usage = [], dict[int, _Call](), None, None
    try:
        for chunk in _events(text):
            if "error" in chunk:
                raise ValueError(f"an error came in the stream: {_message(chunk) or 'without a word'}")
            usage = chunk.get("usage") or usage
            for choice in chunk["choices"][:1]:
                finish = choice.get("finish_reason") or finish
                deltas.append(choice["delta"])
                for part in choice["delta"].get("tool_calls") or ():
                    calls.setdefault(part["index"], _Call()).add(part)
    except (LookupError, TypeError, AttributeError):
        raise ValueError("the stream holds no chunks of a chat completion") from None
    if not deltas:
        raise ValueError("the stream held nothing")
    return _said(deltas, list(calls.values()), finish, usage)


def parse_error(text: str) -> str:
    """Return the message of an error answer, in OpenAI's form or vLLM's; "" where it has none."""
    try:
        return _message(parse_json(text))
    except ValueError:
        return ""


def mismatch(schema: Mapping[str, Any], value: Any, where: str = "arguments") -> str:
    """Say how a value breaks a schema of objects, arrays, enums, strings and integers; "" where it does not."""
    kind = schema.get("type")
    if not _is_of(kind, value):
        return f"{where} is not of type {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is not one of {', '.join(schema['enum'])}"
    if kind == "array":
        found = (mismatch(schema["items"], item, f"{where}[{i}]") for i, item in enumerate(value))
        return next(filter(None, found), "")
    if kind == "object":
        missing = next((name for name in schema.get("required", ()) if name not in value), None)
        if missing is not None:
            return f"{where} lacks {missing}"
        inner = ((name, part) for name, part in schema["properties"].items() if name in value)
        return next(filter(None, (mismatch(part, value[name], f"{where}.{name}") for name, part in inner)), "")
    return ""


def _is_of(kind: Any, value: Any) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"object": dict, "array": list, "string": str}[kind])


class _Call:
    """A tool call that is being joined from its pieces."""

    def __init__(self, part: Mapping[str, Any] | None = None) -> None:
        self.id = self.name = self.arguments = ""
        if part is not None:
            self.add(part)

    def add(self, part: Mapping[str, Any]) -> None:
        """Join the next piece; arguments that are no text become their JSON."""
        function = part.get("function") or {}
        self.id = self.id or part.get("id") or ""
        self.name = self.name or function.get("name") or ""
        arguments = function.get("arguments") or ""
        self.arguments += arguments if isinstance(arguments, str) else json.dumps(arguments)

    def json(self) -> Mapping[str, Any]:
        """Return the call as tool_calls hold it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id or "call-0", "type": "function", "function": function}


def _said(messages: list[Mapping[str, Any]], calls: list[_Call], finish: Any, usage: Any) -> Said:
    content = "".join(m.get("content") or "" for m in messages)
    # vLLM calls it reasoning, older versions and other servers reasoning_content; some send both, with one text.
    reasoning = "".join(m.get("reasoning") or m.get("reasoning_content") or "" for m in messages)
    tokens = (usage or {}).get("completion_tokens") or 0
    return Said(content, reasoning, tuple(c.json() for c in calls), str(finish or ""), tokens)


def _events(text: str) -> Iterator[Mapping[str, Any]]:
    # Not splitlines: a text may hold other line ends of Unicode, which no event ends with.
    for line in text.split("\n"):
        word, _, rest = line.partition(":")
        if word == "data" and rest.strip() != "[DONE]":
            yield parse_json(rest)


def _message(answer: Any) -> str:
    error = answer.get("error", answer) if isinstance(answer, Mapping) else answer
    message = error.get("message", error.get("detail")) if isinstance(error, Mapping) else error
    return message if isinstance(message, str) else ""
