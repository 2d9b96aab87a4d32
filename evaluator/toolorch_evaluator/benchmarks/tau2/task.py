"""Frozen views of a task: only the fields that a conversation or its grading reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_evaluator.benchmarks.tau2.message import Message, parse_message

# What grades a task that does not say: v0.2.0's default.
DEFAULT_BASIS = ("DB", "COMMUNICATE")


@dataclass(frozen=True, slots=True)
class Action:
    """One step of a task's reference trajectory; `compare_args` None compares whatever a call brings."""

    name: str
    arguments: Mapping[str, Any]
    requestor: str
    compare_args: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentCall:
    """A function called on one side's tools, be it a tool or not; `expected` and `message` serve assertions."""

    side: str
    name: str
    arguments: Mapping[str, Any]
    expected: bool = True


@dataclass(frozen=True, slots=True)
class Criteria:
    """How a task is graded; None and empty differ, as in v0.2.0."""

    basis: frozenset[str]
    actions: tuple[Action, ...] | None
    assertions: tuple[EnvironmentCall, ...] | None
    communicate: tuple[str, ...]
    statements: tuple[str, ...] = ()
    """Assertions in natural language, for a judge."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of one domain: the user's scenario, the world that it starts in, and how it is graded."""

    domain: str
    id: str
    scenario: Mapping[str, Any]
    updates: Mapping[str, Mapping[str, Any]]
    initial_calls: tuple[EnvironmentCall, ...]
    history: tuple[Message, ...]
    criteria: Criteria | None
    ticket: str = ""
    """The scenario as a ticket, for an agent that works alone; empty where the task has none."""


def parse_task(domain: str, row: Mapping[str, Any]) -> Task:
    """Parse one row of a task file."""
    initial = row.get("initial_state") or {}
    update = initial.get("initialization_data") or {}
    sides = {"assistant": update.get("agent_data"), "user": update.get("user_data")}
    return Task(
        domain=domain,
        id=row["id"],
        scenario=row["user_scenario"],
        updates={side: changes for side, changes in sides.items() if changes is not None},
        initial_calls=tuple(_parse_call(c) for c in initial.get("initialization_actions") or ()),
        history=tuple(parse_message(m) for m in initial.get("message_history") or ()),
        criteria=_parse_criteria(row.get("evaluation_criteria")),
        ticket=row.get("ticket") or "",
    )


def _parse_criteria(row: Mapping[str, Any] | None) -> Criteria | None:
    if row is None:
        return None
    actions, assertions = row.get("actions"), row.get("env_assertions")
    return Criteria(
        basis=frozenset(row.get("reward_basis", DEFAULT_BASIS)),
        actions=None if actions is None else tuple(_parse_action(a) for a in actions),
        assertions=None if assertions is None else tuple(_parse_call(a) for a in assertions),
        communicate=tuple(row.get("communicate_info") or ()),
        statements=tuple(row.get("nl_assertions") or ()),
    )


def _parse_action(row: Mapping[str, Any]) -> Action:
    compared = row.get("compare_args")
    return Action(
        name=row["name"],
        arguments=row["arguments"],
        requestor=row.get("requestor", "assistant"),
        compare_args=None if compared is None else tuple(compared),
    )


def _parse_call(row: Mapping[str, Any]) -> EnvironmentCall:
    return EnvironmentCall(row["env_type"], row["func_name"], row["arguments"], row.get("assert_value", True))
