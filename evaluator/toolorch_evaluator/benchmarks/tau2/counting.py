"""How often which tool was called in a conversation, and how it answered. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from toolorch_evaluator.benchmarks.tau2.experts import CALL
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, TOOL, USER, Message
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas

UNKNOWN = "unknown_tool"
"""Stands for all names that nobody offered: a model may make up any number of them."""


def count_tools(domain: str, messages: Sequence[Message], delegations: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of calls by `<tool>_ok` and `<tool>_error`, in order of name.

    A delegation is a call of an expert that was obeyed; it leaves no answer of a tool among the messages.
    """
    offered = {tool["function"]["name"] for side in (ASSISTANT, USER) for tool in tool_schemas(domain, side)} | {CALL}
    counts, asked = Counter({f"{CALL}_ok": len(delegations)}), dict[str, str]()
    for message in messages:
        asked |= {call.id: call.name for call in message.calls or ()}
        if message.role == TOOL:
            name = asked.get(message.id, UNKNOWN)
            counts[f"{name if name in offered else UNKNOWN}_{'error' if message.error else 'ok'}"] += 1
    return dict(sorted((+counts).items()))
