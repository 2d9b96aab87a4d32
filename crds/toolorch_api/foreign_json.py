"""JSON that strangers wrote, such as models and their servers: read so that nothing behind it breaks. PURE."""

from __future__ import annotations

import json
import re
from typing import Any

# No schema of a tool, answer of a server or row of a dataset comes near; what writes JSON takes a call for each level.
MOST_LEVELS = 64
# A character beyond the 16th bit is escaped in two halves, and a half alone can be written nowhere.
_HALF = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def parse_json(text: str | bytes, most_levels: int = MOST_LEVELS) -> Any:
    """Return what a text of JSON holds, half characters as `?`; ValueError where it holds none, or too many levels."""
    plain = text.decode("utf-8-sig") if isinstance(text, bytes) else text
    too_deep = ValueError(f"more than {most_levels} levels of JSON")
    try:
        value = json.loads(plain)
    except RecursionError:
        raise too_deep from None
    if has_more_levels(value, most_levels):
        raise too_deep
    if "\\u" in plain and _HALF.search(plain):
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def has_more_levels(value: Any, levels: int) -> bool:
    """Tell whether lists and objects lie in each other more than so many times; an empty one is a plain value."""
    here = [value]
    for _ in range(levels + 1):
        here = [each for each in here if each and isinstance(each, dict | list)]
        if not here:
            return False
        here = [inner for each in here for inner in (each.values() if isinstance(each, dict) else each)]
    return True
