"""How the agent's reply becomes an action: by tool calls, or by text that names the action.

`tool-calling` and `few-shot` use tool calls, of which only the first counts; `act` and `react` write an action as JSON
after the word `Action:`, and text that is none is spoken to the customer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_api.foreign_json import parse_json
from toolorch_evaluator.benchmarks.base import InvalidReplyError, Reply
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.taubench import prompts

RESPOND = "respond"
TEXT_STRATEGIES = ("act", "react")
# As many as upstream's few-shot agent shows.
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Action:
    """What the agent does in a step: speak (`name` is respond, arguments hold content), or call a tool."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


def parse_action(reply: Reply, strategy: str) -> Action:
    """Return the action of a reply; raises InvalidReplyError for one that has none."""
    if strategy in TEXT_STRATEGIES:
        return _written_action(reply.content or "")
    if reply.tool_calls:
        first = reply.tool_calls[0]
        return _checked(Action(first.name, first.arguments, first.id))
    if not (reply.content or "").strip():
        raise InvalidReplyError("neither text nor tool calls")
    return Action(RESPOND, {"content": reply.content})


def _written_action(text: str) -> Action:
    written = text.rpartition("Action:")[2].strip()
    if not written:
        raise InvalidReplyError("no action")
    try:
        parsed = parse_json(written)
    except json.JSONDecodeError:
        return Action(RESPOND, {"content": written})
    except ValueError as error:
        raise InvalidReplyError(f"the action cannot be read: {error}") from error
    named = isinstance(parsed, dict) and isinstance(parsed.get("name"), str)
    if not named or not isinstance(parsed.get("arguments"), dict):
        raise InvalidReplyError("the action is JSON without a name and arguments")
    return _checked(Action(parsed["name"], parsed["arguments"]))


def _checked(action: Action) -> Action:
    """Return the action, if what it says is text: models call `respond` as a tool too."""
    if action.name == RESPOND and not isinstance(action.arguments.get("content"), str):
        raise InvalidReplyError("the action respond has no content")
    return action


def observed(action: Action, own: Reply, observation: str, strategy: str) -> list[dict[str, Any]]:
    """Return what a step adds to the agent's own history, in OpenAI form."""
    if strategy in TEXT_STRATEGIES:
        told = observation if action.name == RESPOND else f"API output: {observation}"
        return [{"role": "assistant", "content": own.content}, {"role": "user", "content": told}]
    if action.name == RESPOND and not own.tool_calls:
        return [{"role": "assistant", "content": own.content}, {"role": "user", "content": observation}]
    function = {"name": action.name, "arguments": json.dumps(dict(action.arguments))}
    call = {"id": action.id, "type": "function", "function": function}
    return [
        {"role": "assistant", "content": own.content, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": action.id, "name": action.name, "content": observation},
    ]


def build_examples(domain: str, task_id: str, seed: int) -> str:
    """Return examples for the few-shot strategy: reference calls of other tasks of the training split.

    Which ones is a function of the seed and the task.
    """
    others = [i for i in dataset.splits(domain)["train"] if i != task_id and _actions(domain, i)]
    chosen = random.Random(f"{seed} {task_id}").sample(others, min(EXAMPLES, len(others)))
    shown = [f"Example {n}:\n{_example(domain, i)}" for n, i in enumerate(chosen, 1)]
    return "\n\n".join([prompts.text("examples.md"), *shown])


def _example(domain: str, task_id: str) -> str:
    wanted = dataset.task(domain, task_id).scenario["instructions"]["reason_for_call"]
    calls = [json.dumps({"name": a.name, "arguments": dict(a.arguments)}) for a in _actions(domain, task_id)]
    return "\n".join([f"Customer: {wanted}", *calls])


def _actions(domain: str, task_id: str) -> Sequence[Any]:
    criteria = dataset.task(domain, task_id).criteria
    return (criteria.actions if criteria is not None else None) or ()
