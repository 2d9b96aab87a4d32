"""Small values that a tool's JSON schema allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_Schema = Mapping[str, Any]


def minimal_value(schema: _Schema | bool, root: _Schema | None = None) -> Any:
    """Return a small value that a JSON schema allows: required properties only, first of an enum, lowest number.

    `root` is where references lead from. Patterns, formats and recursion are beyond it.
    """
    root = root or ({} if isinstance(schema, bool) else schema)
    schema = _resolve(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return minimal_value(schema[union][0], root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return _minimal_of(kind[0] if isinstance(kind, list) else kind, schema, root)


def _resolve(schema: _Schema | bool, root: _Schema) -> _Schema:
    """Follow a reference into the same document, and join what allOf takes apart; true allows anything."""
    if isinstance(schema, bool):
        return {}
    path = str(schema.get("$ref", ""))
    if path.startswith("#"):
        found: Any = root
        for step in path.split("/")[1:]:
            found = found[step]
        schema = {**_resolve(found, root), **{key: value for key, value in schema.items() if key != "$ref"}}
    if not schema.get("allOf"):
        return schema
    parts = [_resolve(part, root) for part in schema["allOf"]]
    parts.append({key: value for key, value in schema.items() if key != "allOf"})
    joined = {key: value for part in parts for key, value in part.items()}
    joined["properties"] = {name: value for part in parts for name, value in (part.get("properties") or {}).items()}
    joined["required"] = [name for part in parts for name in part.get("required") or ()]
    return joined


def _minimal_of(kind: str, schema: _Schema, root: _Schema) -> Any:
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: minimal_value(properties.get(name, {}), root) for name in schema.get("required") or ()}
    if kind == "array":
        return [minimal_value(schema.get("items", {}), root)] * max(schema.get("minItems", 0), 1)
    if kind in ("integer", "number"):
        return _minimal_number(schema)
    if kind == "boolean":
        return True
    return None if kind == "null" else "x" * max(schema.get("minLength", 0), 1)


def _minimal_number(schema: _Schema) -> Any:
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + 1
    return schema.get("minimum", min(1, schema.get("maximum", 1)))
