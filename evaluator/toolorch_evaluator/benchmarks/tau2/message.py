"""The messages of a transcript, and their one JSON form: stored by runs, read by the `score` verb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ASSISTANT, USER, TOOL = "assistant", "user", "tool"
ROLES = (ASSISTANT, USER, TOOL, "system")
REQUESTORS = (ASSISTANT, USER)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call; `requestor` tells whose tools it is for."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    requestor: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `id`, `requestor` and `error` belong to a tool's answer, and `id` is that of its call.

    `calls` None is a message to the other side; otherwise the message goes to the environment, text and all.
    """

    role: str
    content: str | None = None
    calls: tuple[Call, ...] | None = None
    id: str = ""
    requestor: str = ASSISTANT
    error: bool = False
    expert: str = ""
    """Who wrote it in the agent's place; empty: nobody did."""

    @property
    def has_text(self) -> bool:
        """Whether there is anything but white space to read."""
        return self.content is not None and self.content.strip() != ""


def parse_message(row: Any) -> Message:
    """Parse one message of a transcript; raises ValueError with a sentence that names the field.

    A call's requestor defaults to its message's role, a tool answer's to assistant.
    """
    role = _text(row, "role", "a message")
    if role not in ROLES:
        raise ValueError(f"a message's role is one of {', '.join(ROLES)}, not {role!r}")
    content = row.get("content")
    if content is not None and not isinstance(content, str):
        raise ValueError(f"a message's content is text or null, not {type(content).__name__}")
    if role == TOOL:
        requestor = _requestor(row, ASSISTANT)
        return Message(role, content, None, _text(row, "id", "a tool message"), requestor, bool(row.get("error")))
    calls = row.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise ValueError(f"a message's tool_calls is a list or null, not {type(calls).__name__}")
    made = None if calls is None else tuple(_parse_call(c, role) for c in calls)
    return Message(role, content, made, expert=str(row.get("expert") or ""))


def dump_message(message: Message) -> dict[str, Any]:
    """Return the message's JSON form."""
    if message.role == TOOL:
        return {
            "role": TOOL,
            "id": message.id,
            "content": message.content,
            "requestor": message.requestor,
            "error": message.error,
        }
    calls = None if message.calls is None else [_dump_call(c) for c in message.calls]
    written = {"expert": message.expert} if message.expert else {}
    return {"role": message.role, "content": message.content, "tool_calls": calls, **written}


def _dump_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments), "requestor": call.requestor}


def _parse_call(row: Any, role: str) -> Call:
    name = _text(row, "name", "a tool call")
    arguments = row.get("arguments")
    if not isinstance(arguments, dict):
        raise ValueError(f"the arguments of the call of {name!r} are an object, not {type(arguments).__name__}")
    return Call(str(row.get("id") or ""), name, arguments, _requestor(row, role))


def _requestor(row: Mapping[str, Any], default: str) -> str:
    requestor = row.get("requestor") or default
    if requestor not in REQUESTORS:
        raise ValueError(f"a requestor is assistant or user, not {requestor!r}")
    return str(requestor)


def _text(row: Any, field: str, owner: str) -> str:
    if not isinstance(row, dict):
        raise ValueError(f"{owner} is an object, not {type(row).__name__}")
    value = row.get(field)
    if not isinstance(value, str):
        raise ValueError(f"{owner} needs {field}, as text")
    return value
