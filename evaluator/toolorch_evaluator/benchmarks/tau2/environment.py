"""A task's world: both sides' tools over fresh databases, kept in step where a domain has a phone.

An environment is cheap, since databases are shared until changed; each conversation, replay and reference has its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from toolorch_evaluator.benchmarks.tau2.answers import answer_text
from toolorch_evaluator.benchmarks.tau2.dataset import DATABASES, read_database
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, TOOL, USER, Call, Message
from toolorch_evaluator.benchmarks.tau2.overlay import Overlay, canonical, fresh_copy
from toolorch_evaluator.benchmarks.tau2.packaged import packaged_module
from toolorch_evaluator.benchmarks.tau2.task import EnvironmentCall, Task
from toolorch_evaluator.benchmarks.tau2.toolkits import Toolkit, toolkit

# Only these are large enough to be worth sharing; telecom's databases are copied whole.
SHARED_DOMAINS = ("retail", "airline")
# Names that upstream's own call takes, so no tool can be given an argument of that name.
RESERVED = {
    "requestor": "tau2.environment.environment.Environment.make_tool_call() got multiple values for keyword argument",
    "self": "Environment.make_tool_call() got multiple values for argument",
    "tool_name": "Environment.make_tool_call() got multiple values for argument",
}


@dataclass(frozen=True, slots=True)
class Side:
    """One side's tools and the object that carries them."""

    kit: Toolkit
    tools: Any


class Environment:
    """The tools and databases of one task, from its initial state on."""

    def __init__(self, task: Task, solo: bool = False) -> None:
        """`solo`: the agent has the tools of both sides."""
        self._domain = task.domain
        self._solo = solo
        self._sides = _sides(task.domain)
        self._phone = _Phone(self._sides) if USER in self._sides else None
        self.sync()
        for side, update in task.updates.items():
            tools = self._sides[side].tools
            tools.db = _updated(tools.db, update)
        for call in task.initial_calls:
            self.run(call)

    def sync(self) -> None:
        """Bring the user's phone in step with the provider's records, and payments the other way."""
        if self._phone is not None:
            self._phone.sync()

    def use(self, call: Call) -> Any:
        """Return what the tool returns, without bringing the sides in step; raises what the tool raises."""
        for name, text in RESERVED.items():
            if name in call.arguments:
                raise TypeError(f"{text} '{name}'")
        if self._solo and call.requestor == USER:
            raise ValueError("User tool calls are not allowed in solo mode")
        side = self._sides.get(self._owner(call))
        if side is None:
            raise ValueError("User tools not available")
        if call.name not in side.kit.names:
            raise ValueError(f"Tool '{call.name}' not found.")
        with warnings.catch_warnings():  # pydantic warns of the odd values that models put into records
            warnings.simplefilter("ignore")
            return getattr(side.tools, call.name)(**call.arguments)

    def _owner(self, call: Call) -> str:
        """Return whose tools a call is for: in a solo world the user's too are the agent's."""
        user = self._sides.get(USER) if self._solo else None
        return USER if user is not None and call.name in user.kit.names else call.requestor

    def answer(self, call: Call) -> Message:
        """Return the tool's answer; whatever a tool raises is an answer too, for the model to read."""
        try:
            value = self.use(call)
            self.sync()
        except Exception as error:  # noqa: BLE001
            return Message(TOOL, f"Error: {error}", None, call.id, call.requestor, error=True)
        return Message(TOOL, answer_text(self._domain, call.name, value), None, call.id, call.requestor)

    def run(self, call: EnvironmentCall) -> Any:
        """Call any function of a side, then bring the sides in step; raises what the function raises."""
        function = getattr(self._sides[call.side].tools, call.name)
        value = function(**call.arguments)
        self.sync()
        return value

    def holds(self, assertion: EnvironmentCall) -> bool:
        """Tell whether an assertion is met; raises TypeError where its function returns no truth value."""
        value = self.run(assertion)
        if not isinstance(value, bool):
            raise TypeError(f"{assertion.name} returned {type(value).__name__}, not a truth value")
        return value == assertion.expected

    def state(self) -> dict[str, Any]:
        """Return, side by side, what sets the databases apart: equal exactly where upstream's hashes are."""
        return {name: _state_of(side.tools.db) for name, side in self._sides.items()}


class _Phone:
    """The package's synchronisation, which looks for the two sides under its own names."""

    def __init__(self, sides: Mapping[str, Side]) -> None:
        self.tools = sides[ASSISTANT].tools
        self.user_tools = sides[USER].tools
        self._sync = packaged_module("telecom.environment").Environment.sync_tools

    def sync(self) -> None:
        self._sync(self)


def _sides(domain: str) -> dict[str, Side]:
    kits = {name: toolkit(domain, name) for name in (ASSISTANT, USER)}
    files = dict(zip((ASSISTANT, USER), DATABASES[domain], strict=False))
    return {
        name: Side(kit, kit.instance(_fresh(domain, name, files[name])))
        for name, kit in kits.items()
        if kit is not None
    }


def _fresh(domain: str, side: str, file: str) -> Any:
    shared = _loaded(domain, side, file)
    if domain not in SHARED_DOMAINS:
        return fresh_copy(shared)
    tables: dict[str, Any] = {name: Overlay(table) for name, table in shared}
    return type(shared).model_construct(**tables)


@cache
def _loaded(domain: str, side: str, file: str) -> BaseModel:
    kit = toolkit(domain, side)
    if kit is None:
        raise ValueError(f"{domain} has no tools for the {side}")
    model: BaseModel = kit.database.model_validate(read_database(domain, file))
    return model


def _state_of(db: BaseModel) -> Any:
    tables = dict(db)
    if any(isinstance(t, Overlay) for t in tables.values()):
        return {name: table.changes() for name, table in tables.items()}
    return canonical(db)


def _updated(db: BaseModel, update: Mapping[str, Any]) -> BaseModel:
    return type(db).model_validate(_merged(db.model_dump(), update))


def _merged(base: dict[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    both = {k: _merged(base[k], v) for k, v in update.items() if isinstance(base.get(k), dict) and isinstance(v, dict)}
    return {**base, **update, **both}
