"""The reward of a transcript, by the task's reward basis: τ²-bench v0.2.0's evaluator, rule by rule.

A transcript is replayed in a fresh environment, and every tool's answer must equal the recorded one; where it does not,
or an assertion raises, upstream's evaluator raises, and here the transcript counts as one that cannot be graded.
By v1's rules only tools that write are replayed.

Not followed: v0.2.0 keeps the phone's default VPN in a class, so that a VPN broken in one task stays broken in the
tasks that the same process grades later. Here every world has its own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from toolorch_evaluator.benchmarks.base import Score
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, TOOL, USER, Call, Message
from toolorch_evaluator.benchmarks.tau2.rules import DEFAULT_RULES, Rules
from toolorch_evaluator.benchmarks.tau2.task import Action, Criteria, Task

# Ends at which the conversation itself came to rest; after any other there is nothing to grade but the failure.
COMPLETED = ("user_stop", "agent_stop")
NL_ASSERTION = "NL_ASSERTION"
# Texts in which validation errors differ from one version of their library to the next.
_VERSIONED = re.compile(r"errors\.pydantic\.dev/[0-9.]+/|\. Did you mean '[^']*'\?")


class UngradableError(Exception):
    """The transcript cannot be graded: it does not fit its task's environment."""


def score(
    task: Task,
    termination_reason: str,
    messages: Sequence[Message],
    *,
    solo: bool = False,
    met: Sequence[bool] | None = None,
    rules: Rules = DEFAULT_RULES,
) -> Score:
    """Grade a transcript; the breakdown's keys are the reward types of the task's basis.

    `solo`: the agent had the user's tools too. `met` is a judge's verdict on each of the task's statements; given, they
    are part of the basis.
    """
    if termination_reason not in COMPLETED:
        return Score(0.0)
    if task.criteria is None:
        return Score(1.0)
    try:
        parts = _parts(task, task.criteria, messages, solo, rules)
        parts |= _statements_part(task.criteria, met)
    except UngradableError as error:
        return Score(None, error=str(error))
    return Score(math.prod(parts.values(), start=1.0), parts)


def _statements_part(criteria: Criteria, met: Sequence[bool] | None) -> dict[str, float]:
    if met is not None:
        return {NL_ASSERTION: float(all(met))}
    if NL_ASSERTION not in criteria.basis:
        return {}
    if criteria.statements:
        raise UngradableError("a judge has to grade the task's assertions in natural language, and none did")
    return {NL_ASSERTION: 1.0}


def _parts(task: Task, criteria: Criteria, messages: Sequence[Message], solo: bool, rules: Rules) -> dict[str, float]:
    parts = _environment_parts(task, criteria, messages, solo, rules)
    if "ACTION" in criteria.basis:
        parts["ACTION"] = float(_all_matched(criteria.actions or (), messages))
    if "COMMUNICATE" in criteria.basis:
        parts["COMMUNICATE"] = float(all(_is_said(text, messages) for text in criteria.communicate))
    return parts


def _environment_parts(
    task: Task, criteria: Criteria, messages: Sequence[Message], solo: bool, rules: Rules
) -> dict[str, float]:
    if criteria.actions is None and criteria.assertions is None:
        return {}
    replayed = _replay(task, messages, solo, rules)
    same = replayed.state() == _reference(task, criteria.actions or ()).state()
    met = _all_met(replayed, criteria)
    parts = {"DB": float(same), "ENV_ASSERTION": float(met)}
    return {name: value for name, value in parts.items() if name in criteria.basis}


def _replay(task: Task, messages: Sequence[Message], solo: bool, rules: Rules) -> Environment:
    if solo and any(m.role == USER for m in messages):
        raise UngradableError("a user speaks, and the agent worked alone")
    environment = Environment(task, solo)
    for call, recorded in _answered_calls(messages):
        if not rules.replays(task.domain, call.name):
            continue
        answer = environment.answer(call)
        if _content(answer) != _content(recorded):
            raise UngradableError(
                f"the recorded answer to {call.name} ({call.id or 'no id'}) is not what the tool answers in this replay"
            )
    environment.sync()
    return environment


def _reference(task: Task, actions: Sequence[Action]) -> Environment:
    """The world after the reference actions; their errors are part of it, and the sides are not brought in step."""
    environment = Environment(task)
    _follow_history(environment, task)
    for action in actions:
        try:
            environment.use(Call("", action.name, action.arguments, action.requestor))
        except Exception:  # noqa: BLE001
            continue
    return environment


def _follow_history(environment: Environment, task: Task) -> None:
    for call, _ in _answered_calls(task.history):
        environment.answer(call)
    environment.sync()


def _all_met(environment: Environment, criteria: Criteria) -> bool:
    try:
        met = [environment.holds(assertion) for assertion in criteria.assertions or ()]
    except Exception as error:
        raise UngradableError(f"an assertion on the final state raised: {error}") from error
    return all(met)


def _answered_calls(messages: Sequence[Message]) -> Iterator[tuple[Call, Message]]:
    rest = iter(messages)
    for message in rest:
        if message.role == TOOL:
            raise UngradableError(f"the tool message {message.id!r} answers no call")
        for call in message.calls or ():
            answer = next(rest, None)
            if answer is None or answer.role != TOOL or answer.id != call.id:
                raise UngradableError(f"the call of {call.name} ({call.id or 'no id'}) is not followed by its answer")
            yield call, answer


def _content(answer: Message) -> Any:
    """What is compared of an answer: its JSON where it is JSON, else its text without library versions."""
    if answer.content is None:
        raise UngradableError(f"the tool message {answer.id!r} has no content")
    try:
        return json.loads(answer.content)
    except json.JSONDecodeError:
        return _VERSIONED.sub("", answer.content)


def _all_matched(actions: Sequence[Action], messages: Sequence[Message]) -> bool:
    calls = [c for m in messages if m.role in (ASSISTANT, USER) for c in m.calls or ()]
    return all(any(_matches(action, call) for call in calls) for action in actions)


def _matches(action: Action, call: Call) -> bool:
    """Compare name and arguments, never who asked: without compare_args only what the call itself brings counts."""
    if action.name != call.name:
        return False
    compared = call.arguments.keys() if action.compare_args is None else action.compare_args
    return _picked(call.arguments, compared) == _picked(action.arguments, compared)


def _picked(arguments: Any, names: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name in names}


def _is_said(text: str, messages: Sequence[Message]) -> bool:
    said = (m.content.lower().replace(",", "") for m in messages if m.role == ASSISTANT and m.has_text and m.content)
    return any(text.lower() in line for line in said)
