"""One transcript, seen from either chair: what each model is sent, in OpenAI chat-completions form.

The agent sees its own messages and tool answers, and what the user says. The simulated user is asked as an assistant:
roles are turned round, and of the agent it sees only what was said to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, TOOL, USER, Call, Message


def agent_view(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return the conversation as the agent's model sees it."""
    return _view(messages, ASSISTANT)


def user_view(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return the conversation as the simulated user's model sees it, roles turned round."""
    return _view(messages, USER)


def _view(messages: Iterable[Message], own: str) -> list[dict[str, Any]]:
    return [_seen(m, own) for m in messages if _is_visible(m, own)]


def _is_visible(message: Message, own: str) -> bool:
    if message.role == TOOL:
        return message.requestor == own
    return message.role == own or message.calls is None


def _seen(message: Message, own: str) -> dict[str, Any]:
    if message.role == TOOL:
        return {"role": "tool", "tool_call_id": message.id, "content": message.content}
    if message.role != own:
        return {"role": "user", "content": message.content}
    said: dict[str, Any] = {"role": "assistant", "content": message.content}
    if message.calls:
        said["tool_calls"] = [_call(c) for c in message.calls]
    return said


def _call(call: Call) -> dict[str, Any]:
    arguments = json.dumps(dict(call.arguments))
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}
