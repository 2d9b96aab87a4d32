"""What a tool returned, as the text that a model reads: the forms of τ²-bench v0.2.0, to the character."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from pydantic import BaseModel

# These return text that upstream hands on as it is, or JSON of its own making.
SORTED_BY_NAME = "list_all_product_types"
# Upstream returns the record itself, the package its dump.
RECORD_AS_DICT = "get_details_by_id"
# Their records arrive as JSON text.
TEXT_DOMAINS = ("retail", "airline")


def answer_text(domain: str, tool: str, value: Any) -> str:
    """Return the content of a tool's answer."""
    if tool == SORTED_BY_NAME:
        return json.dumps(value, sort_keys=True)
    if tool == RECORD_AS_DICT:
        return json.dumps(value, default=str)
    if not isinstance(value, str):
        return json.dumps(_plain(value), default=str)
    if domain in TEXT_DOMAINS and value[:1] in ("{", "["):
        return json.dumps(json.loads(value))
    return value


def _plain(value: Any) -> Any:
    """Numbers and truth values become text, except inside records: upstream's habit, which models see."""
    if isinstance(value, BaseModel):
        return value.model_dump(warnings=False)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a tool returned a {type(value).__name__}, which has no JSON form")
