"""Plain JSON, read the same way everywhere: a live condition, an object in foreign text, a value's hash. PURE."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from toolorch_api.foreign_json import parse_json


def find_raw_condition(status: Mapping[str, Any] | None, type_: str) -> Mapping[str, Any]:
    """Return the condition of a type in a live object's status, empty where it has none."""
    return next((c for c in (status or {}).get("conditions") or () if c.get("type") == type_), {})


def is_raw_true(status: Mapping[str, Any] | None, type_: str) -> bool:
    """Tell whether a live object's status has a condition that is True."""
    return find_raw_condition(status, type_).get("status") == "True"


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a text, empty where it is anything else: an image may put words of its own there."""
    try:
        found = parse_json(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def parse_time(text: str | None) -> datetime | None:
    """Return the moment that a live object's field says; None where it says none."""
    return datetime.fromisoformat(text) if text else None


def digest(value: object, digits: int) -> str:
    """Return so many hex digits over a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]
