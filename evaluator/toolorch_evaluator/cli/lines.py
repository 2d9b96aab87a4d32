"""Words of strangers on a terminal: a model, a server or a pod's log must not command it. No I/O of its own."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console

# All that terminals obey, but for the ends of lines and tabs; and what turns the reading direction around.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    """Return a text in which each character that a terminal would obey is a question mark."""
    return _COMMANDS.sub("?", text)


def plain_json(value: Any) -> Any:
    """Return a JSON value with all its texts plain; it must not be nested deeper than `parse_json` allows."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(name): plain_json(inner) for name, inner in value.items()}
    return [plain_json(inner) for inner in value] if isinstance(value, list) else value


def say(out: Console, line: str) -> None:
    """Print a line as it is: a path that is broken in two cannot be copied."""
    out.print(plain(line), markup=False, highlight=False, soft_wrap=True)
