"""A unit's transcript as JSON: what runs store and the `score` verb reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_evaluator.benchmarks.tau2.dataset import task
from toolorch_evaluator.benchmarks.tau2.message import Message, dump_message, parse_message
from toolorch_evaluator.benchmarks.tau2.rules import DEFAULT_RULES, Rules, rules_of
from toolorch_evaluator.benchmarks.tau2.task import Task

# v0.2.0's, then this project's, then those of later versions: all that a transcript may end with.
TERMINATION_REASONS = (
    *("user_stop", "agent_stop", "max_steps", "too_many_errors"),
    *("agent_error", "context_window_exceeded"),
    *("timeout", "user_error"),
)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What grading reads of a transcript."""

    task: Task
    termination_reason: str
    messages: tuple[Message, ...]
    solo: bool = False
    rules: Rules = DEFAULT_RULES


def parse_transcript(row: Any) -> Transcript:
    """Parse a transcript; raises ValueError with a sentence that names what is wrong. Unknown keys are ignored."""
    if not isinstance(row, Mapping):
        raise ValueError(f"a transcript is an object, not {type(row).__name__}")
    domain, task_id, reason = (_text(row, name) for name in ("domain", "task_id", "termination_reason"))
    if reason not in TERMINATION_REASONS:
        raise ValueError(f"unknown termination_reason {reason!r}: known are {', '.join(TERMINATION_REASONS)}")
    messages = row.get("messages")
    if not isinstance(messages, list):
        raise ValueError("a transcript needs messages, as a list")
    rules = rules_of(row.get("profile"))
    return Transcript(task(domain, task_id), reason, tuple(_numbered(messages)), row.get("solo") is True, rules)


def dump_transcript(task: Task, termination_reason: str, messages: Sequence[Message]) -> dict[str, Any]:
    """Return a transcript's JSON form."""
    return {
        "domain": task.domain,
        "task_id": task.id,
        "termination_reason": termination_reason,
        "messages": [dump_message(m) for m in messages],
    }


def _numbered(rows: list[Any]) -> list[Message]:
    messages = []
    for number, row in enumerate(rows):
        try:
            messages.append(parse_message(row))
        except ValueError as error:
            raise ValueError(f"messages[{number}]: {error}") from error
    return messages


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise ValueError(f"a transcript needs {name}, as text")
    return value
