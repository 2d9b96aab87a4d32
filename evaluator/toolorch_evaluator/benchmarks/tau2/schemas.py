"""The tools of a domain as models are offered them: OpenAI function schemas, made once per domain and side."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from toolorch_evaluator.benchmarks.tau2.toolkits import toolkit


@cache
def tool_schemas(domain: str, side: str) -> tuple[dict[str, Any], ...]:
    """Return the function schemas of a side's tools, empty where it has none; side is assistant or user."""
    kit = toolkit(domain, side)
    if kit is None:
        return ()
    describe = import_module("inspect_ai.tool").ToolDef
    return tuple(_schema(describe(factory())) for factory in kit.factories)


def _schema(described: Any) -> dict[str, Any]:
    parameters = described.parameters.model_dump(exclude_none=True)
    function = {"name": described.name, "description": described.description, "parameters": parameters}
    return {"type": "function", "function": function}
