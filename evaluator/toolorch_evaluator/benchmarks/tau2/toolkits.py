"""The domains' tools, taken from inspect-evals and stood on plain objects that answer as τ²-bench v0.2.0 does.

The packaged classes keep their state in a store that is validated and synchronised at each attribute access; here their
functions are bound to a plain class instead. Where the package deviates from v0.2.0, the deviation is undone:

- error texts name a function's class, so the class carries upstream's name;
- `calculate` answers an invalid expression with Python's own words;
- records come back as JSON text made by pydantic, and are brought into the form of Python's json;
- telecom's APN settings refuse unknown fields, and an assertion on a phone without connection raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

from toolorch_evaluator.benchmarks.tau2 import mock_domain
from toolorch_evaluator.benchmarks.tau2.arithmetic import calculate
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, USER
from toolorch_evaluator.benchmarks.tau2.packaged import packaged_module


@dataclass(frozen=True, slots=True)
class ToolkitSource:
    """Where one side's tools come from, and what they are called upstream."""

    module: str
    packaged_class: str
    upstream_class: str
    registry: tuple[str, str]
    database: tuple[str, str]
    extras: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


def _transfer(self: object, summary: str) -> str:
    return "Transfer successful"


def _assert_internet_not_excellent(self: Any) -> bool:
    _, description = self._run_speed_test()
    return bool(description.lower() != "excellent")


_GENERIC = {"calculate": calculate, "transfer_to_human_agents": _transfer}
SOURCES = {
    ("retail", ASSISTANT): ToolkitSource(
        "retail.RetailAgentTools",
        "RetailAgentTools",
        "RetailTools",
        ("retail.tools", "all_retail_tools"),
        ("retail.data_model", "RetailDB"),
        _GENERIC,
    ),
    ("airline", ASSISTANT): ToolkitSource(
        "airline.AirlineAgentTools",
        "AirlineAgentTools",
        "AirlineTools",
        ("airline.tools", "all_airline_tools"),
        ("airline.data_model", "FlightDB"),
        _GENERIC,
    ),
    ("telecom", ASSISTANT): ToolkitSource(
        "telecom.TelecomAgentTools",
        "TelecomAgentTools",
        "TelecomTools",
        ("telecom.tools", "all_telecom_agent_tools"),
        ("telecom.data_model", "TelecomDB"),
    ),
    ("telecom", USER): ToolkitSource(
        "telecom.TelecomUserTools",
        "TelecomUserTools",
        "TelecomUserTools",
        ("telecom.user_tools", "all_telecom_user_tools"),
        ("telecom.user_data_model", "TelecomUserDB"),
        {"assert_internet_not_excellent": _assert_internet_not_excellent},
    ),
}


@dataclass(frozen=True, slots=True)
class Toolkit:
    """One side's tools: the plain class, the names of its tools, and the factories that describe them to models."""

    cls: type
    names: frozenset[str]
    factories: tuple[Callable[..., Any], ...]
    database: Any
    attributes: Mapping[str, Any]

    def instance(self, db: Any) -> Any:
        """Return an object with all the tools, over this database."""
        tools = self.cls()
        vars(tools).update(deepcopy(dict(self.attributes)), db=db)
        return tools


@cache
def toolkit(domain: str, side: str) -> Toolkit | None:
    """Return the tools of a side, or None where it has none."""
    if (domain, side) == ("mock", ASSISTANT):
        names = frozenset(mock_domain.TOOLS)
        return Toolkit(mock_domain.MockTools, names, mock_domain.tool_factories(), mock_domain.MockDB, {})
    source = SOURCES.get((domain, side))
    if source is None:
        return None
    module = packaged_module(source.module)
    packaged = getattr(module, source.packaged_class)
    factories = tuple(getattr(packaged_module(source.registry[0]), source.registry[1]))
    return Toolkit(
        cls=_plain_class(source, module, packaged),
        names=frozenset(f.__name__ for f in factories),
        factories=factories,
        database=getattr(packaged_module(source.database[0]), source.database[1]),
        attributes=_attributes(packaged),
    )


def _plain_class(source: ToolkitSource, module: ModuleType, packaged: type) -> type:
    names = {**vars(module), **_strict_models(module)}
    members: dict[str, Any] = {}
    for name, member in {**vars(packaged), **source.extras}.items():
        if isinstance(member, FunctionType) and not name.startswith("__"):
            scope = names if name not in source.extras else member.__globals__
            members[name] = _rebind(member, name, source.upstream_class, scope)
        elif isinstance(member, property) and isinstance(member.fget, FunctionType):
            members[name] = property(_rebind(member.fget, name, source.upstream_class, names))
    return type(source.upstream_class, (), members)


def _rebind(function: FunctionType, name: str, owner: str, scope: dict[str, Any]) -> FunctionType:
    bound = FunctionType(function.__code__, scope, name, function.__defaults__, function.__closure__)
    bound.__kwdefaults__ = function.__kwdefaults__
    bound.__qualname__ = f"{owner}.{name}"
    return bound


def _strict_models(module: ModuleType) -> dict[str, Any]:
    lenient = getattr(module, "APNSettings", None)
    if lenient is None:
        return {}
    return {"APNSettings": type("APNSettings", (lenient,), {"model_config": {"extra": "forbid"}})}


def _attributes(packaged: Any) -> dict[str, Any]:
    """Fresh values of the packaged model's own fields, which are attributes of the class upstream."""
    own = {name: f for name, f in packaged.model_fields.items() if name in packaged.__annotations__}
    return {n: f.get_default(call_default_factory=True) for n, f in own.items() if n not in ("db", "initialized")}
