"""The tables of `kubectl get`, from the same documents and the CRDs' own columns. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

Column = Mapping[str, Any]
_GAP = "   "  # kubectl's distance between columns
_SECOND, _MINUTE, _HOUR, _DAY = (1, "s"), (60, "m"), (3600, "h"), (86400, "d")
# kubectl's own steps: below so many seconds, in this unit and, where one is named, the rest in a smaller one.
_STEPS = (
    (2 * 60, _SECOND, None),
    (10 * 60, _MINUTE, _SECOND),
    (3 * 3600, _MINUTE, None),
    (8 * 3600, _HOUR, _MINUTE),
    (2 * 86400, _HOUR, None),
    (8 * 86400, _DAY, _HOUR),
    (float("inf"), _DAY, None),
)


def render_table(documents: Sequence[Mapping[str, Any]], columns: Sequence[Column], now: datetime) -> list[str]:
    """Return header and rows as `kubectl get -o wide` prints documents of one kind."""
    header = ["NAME", *(column["name"] for column in columns)]
    rows = [[document["metadata"]["name"], *(_cell(document, c, now) for c in columns)] for document in documents]
    return render_rows(header, rows)


def render_rows(header: Sequence[str], rows: Sequence[Sequence[str]], gap: str = _GAP) -> list[str]:
    """Return header and rows, each column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return [
        gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [header, *rows]
    ]


def _cell(document: Mapping[str, Any], column: Column, now: datetime) -> str:
    value: Any = document
    for key in column["jsonPath"].strip(".").split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        return ""
    if column["type"] == "date":
        return age(now - datetime.fromisoformat(value))
    return str(value)


def age(elapsed: timedelta) -> str:
    """Write a duration as kubectl does: 45s, 3m20s, 12m, 5h2m, 3d."""
    seconds = max(0, int(elapsed.total_seconds()))
    (unit, letter), smaller = next((unit, smaller) for below, unit, smaller in _STEPS if seconds < below)
    text = f"{seconds // unit}{letter}"
    rest = seconds % unit // smaller[0] if smaller else 0
    return f"{text}{rest}{smaller[1]}" if smaller and rest else text
