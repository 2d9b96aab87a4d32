"""JSON of the API server, of which a large cluster has gigabytes: what orjson can read, it reads. PURE."""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(text: bytes) -> Any:
    """Return what a text holds; ValueError where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # It refuses a thousand levels and half characters, which strangers may have put in an object.
        return json.loads(text)


def dumps(value: Any) -> bytes:
    """Return a value of `loads` as a text of it, as short as can be."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
