"""Solo mode: the agent works on a ticket by itself, with the tools of both sides, and calls `done` when it is through.

As in τ²-bench v0.2.0's LLMSoloAgent: there is no user and no greeting, each turn of the agent is tool calls, and a turn
with `done` among them ends the conversation without the others being carried out.
"""

from __future__ import annotations

from typing import Any

from toolorch_evaluator.benchmarks.base import InvalidReplyError, Reply
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, USER, Message
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas
from toolorch_evaluator.benchmarks.tau2.task import Task

DONE = "done"
STOP = "###STOP###"
DONE_SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": DONE,
        "description": "Say that the ticket is settled. It comes alone, as the last call.",
        "parameters": {"type": "object", "properties": {}},
    },
}


def solo_tools(domain: str) -> tuple[dict[str, Any], ...]:
    """Return the tools of an agent that works alone."""
    return (*tool_schemas(domain, ASSISTANT), *tool_schemas(domain, USER), DONE_SCHEMA)


def check_solo(task: Task) -> None:
    """Raise ValueError for a task that cannot be worked on alone."""
    if why := _obstacle(task):
        raise ValueError(f"task {task.id!r} of {task.domain} cannot be done solo: it {why}")


def _obstacle(task: Task) -> str:
    if any(m.role == USER or (m.role == ASSISTANT and not m.calls) for m in task.history):
        return "has a conversation before it"
    if not task.ticket:
        return "has no ticket"
    begun = task.history or task.updates or task.initial_calls
    acts = task.criteria is not None and task.criteria.actions
    # As upstream has it: a task that starts from the domain's own state and expects no action is one of talk.
    return "" if begun or acts else "asks for no action"


def last_message(reply: Reply) -> Message | None:
    """Return the message that ends the conversation where the reply does so, else None.

    Raises InvalidReplyError for a reply without a tool call.
    """
    if not reply.tool_calls:
        raise InvalidReplyError("an agent that works alone must call a tool in each turn")
    return Message(ASSISTANT, STOP) if any(call.name == DONE for call in reply.tool_calls) else None
