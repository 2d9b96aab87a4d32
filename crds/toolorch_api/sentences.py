"""From a validation error to sentences for the person who wrote the manifest: field, mistake, what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from toolorch_api.schema import models_in

MAX_SHOWN_INPUT = 60


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one sentence per mistake, in the order of fields; `model` is what was validated."""
    sentences = [_sentence(detail, model) for detail in error.errors(include_url=False)]
    return list(dict.fromkeys(sentences))


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    field = field_path(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return f"{field} is missing"
    if kind == "extra_forbidden":
        return f"{field} is not a field of this kind{_suggestion(detail, model)}"
    if kind in ("literal_error", "enum"):
        return f"{field} must be {context['expected']}, not {_shown(detail['input'])}"
    if kind == "value_error":
        message = str(context["error"])
        return f"{field}: {message}" if field else message
    if kind == "string_pattern_mismatch":
        return f"{field} must match {context['pattern']}, not be {_shown(detail['input'])}"
    return f"{field}: {detail['msg'].removeprefix('Input ')}, not {_shown(detail['input'])}"


def field_path(location: Sequence[int | str]) -> str:
    """Write a location as people read it: spec.env[0].name; pydantic's names of union members are left out."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(("literal[", "OwnVariant", "function-")):
            path += f".{part}" if path else part
    return path


def _suggestion(detail: ErrorDetails, model: type[BaseModel]) -> str:
    allowed = _fields_at(model, detail["loc"][:-1])
    close = difflib.get_close_matches(str(detail["loc"][-1]), allowed, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"{meant} Allowed: {', '.join(allowed)}" if meant else f"; allowed: {', '.join(allowed)}"


def _fields_at(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    for part in location:
        by_alias = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in by_alias:
            model = next(iter(models_in(by_alias[str(part)].annotation)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_INPUT else text[: MAX_SHOWN_INPUT - 1] + "…"
