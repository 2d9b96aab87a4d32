"""The tools of a domain as models are offered them: OpenAI function schemas, made once per domain and side.

As upstream does it, the schema is that of a function's signature, and the words are those of its docstring.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import Field, create_model

from toolorch_evaluator.benchmarks.tau2.toolkits import toolkit

_SECTION = re.compile(r"^(?:Args|Returns|Raises):\s*$", re.MULTILINE)
# "name: words" or "name (type): words", with the lines that go on further in.
_ARGUMENT = re.compile(r"^ {4}(\w+)(?: \([^)]*\))?:\s*(.*(?:\n {5,}.*)*)", re.MULTILINE)


@cache
def tool_schemas(domain: str, side: str) -> tuple[dict[str, Any], ...]:
    """Return the function schemas of a side's tools, empty where it has none; side is assistant or user."""
    kit = toolkit(domain, side)
    return () if kit is None else tuple(_schema(f.__name__, f()) for f in kit.factories)


def _schema(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    words, *sections = _SECTION.split(inspect.cleandoc(function.__doc__ or name))
    about = {n: " ".join(text.split()) for n, text in _ARGUMENT.findall(sections[0] if sections else "")}
    fields: dict[str, Any] = {
        p.name: (p.annotation, Field(... if p.default is p.empty else p.default, description=about.get(p.name)))
        for p in inspect.signature(function, eval_str=True).parameters.values()
    }
    parameters = create_model(name, **fields).model_json_schema()
    return {"type": "function", "function": {"name": name, "description": words.strip(), "parameters": parameters}}
