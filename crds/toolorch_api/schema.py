"""From a pydantic model to the structural schema that Kubernetes demands: references inlined, no unions with null."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from toolorch_api.meta import Rule

JsonSchema = dict[str, Any]
# What pydantic writes and a structural schema must not hold, or does not need.
_DROPPED = ("title", "$defs", "additionalProperties", "const")
_CONDITIONS_BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
_KUBERNETES_OWN = ("apiVersion", "kind", "metadata")


def structural_schema(model: type[BaseModel]) -> JsonSchema:
    """Return the openAPIV3Schema of a document model; its metadata is left to the API server."""
    raw = model.model_json_schema(by_alias=True)
    schema = _structural(raw, raw.get("$defs", {}))
    for name in _KUBERNETES_OWN:
        schema["properties"][name] = {"type": "object" if name == "metadata" else "string"}
    schema["required"] = ["spec"]
    schema["properties"]["status"].pop("default", None)
    _attach(schema, model)
    _drop_defaults(schema["properties"]["status"])
    schema["properties"]["status"]["properties"]["conditions"] |= _CONDITIONS_BY_TYPE
    return schema


def _structural(node: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    node = _inlined(_without_null(_inlined(node, definitions)), definitions)
    out: JsonSchema = {key: value for key, value in node.items() if key not in _DROPPED}
    if "const" in node:
        out["enum"] = [node["const"]]
    if isinstance(node.get("additionalProperties"), dict):
        out["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "properties" in node:
        out["properties"] = {name: _structural(child, definitions) for name, child in node["properties"].items()}
    if "items" in node and "x-kubernetes-preserve-unknown-fields" not in node["items"]:
        out["items"] = _structural(node["items"], definitions)
    if out.get("format") not in (None, "date-time"):
        del out["format"]
    if "default" in out and (default := _without_nulls(out.pop("default"))) is not None:
        out["default"] = default
    return out


def _inlined(node: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    """Replace a reference by what it names; words and defaults beside the reference win."""
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _inlined({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    return node


def _without_null(node: JsonSchema) -> JsonSchema:
    """Turn pydantic's `X | None` into plain X: in Kubernetes an optional field is absent, not null."""
    options = [o for o in node.get("anyOf", []) if o.get("type") != "null"]
    if "x-kubernetes-preserve-unknown-fields" in node or len(options) != 1:
        return node
    rest = {k: v for k, v in node.items() if k != "anyOf"}
    return {**options[0], **rest}


def _without_nulls(value: Any) -> Any:
    """Drop the null fields of a default: in Kubernetes an optional field is absent."""
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return value


def _drop_defaults(node: JsonSchema) -> None:
    """Strip defaults: status is written by the operator alone, and a default there would be read as a fact."""
    node.pop("default", None)
    children = [*node.get("properties", {}).values(), node.get("items"), node.get("additionalProperties")]
    for child in children:
        if isinstance(child, dict):
            _drop_defaults(child)


def _attach(schema: JsonSchema, model: type[BaseModel]) -> None:
    """Put each model's CEL rules, and the defaults that pydantic makes by a call, where the schema has their place."""
    rules: tuple[Rule, ...] = getattr(model, "rules", ())
    if rules:
        schema["x-kubernetes-validations"] = [{"rule": rule.cel, "message": rule.message} for rule in rules]
    for name, field in model.model_fields.items():
        child = schema.get("properties", {}).get(field.alias or name)
        if child is None:
            continue
        if field.default_factory is not None:
            child["default"] = to_jsonable_python(field.get_default(call_default_factory=True, validated_data={}))
        for place in (child, child.get("items"), child.get("additionalProperties")):
            if isinstance(place, dict) and "properties" in place:
                for nested in models_in(field.annotation):
                    _attach(place, nested)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models inside an annotation such as `list[Annotated[X, …]] | None`."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in models_in(argument)]
