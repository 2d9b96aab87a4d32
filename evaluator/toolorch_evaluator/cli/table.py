"""The tables of `kubectl get`, from the same documents and the CRDs' own columns. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

Column = Mapping[str, Any]
_GAP = "   "  # kubectl's distance between columns
# kubectl's own steps: seconds to two minutes, minutes to three hours, hours to two days.
_STEPS = ((120, 1, "s"), (10_800, 60, "m"), (172_800, 3600, "h"))
_DAY = 86400


def render_table(documents: Sequence[Mapping[str, Any]], columns: Sequence[Column], now: datetime) -> list[str]:
    """Return header and rows as `kubectl get -o wide` prints documents of one kind."""
    header = ["NAME", *(column["name"] for column in columns)]
    rows = [[document["metadata"]["name"], *(_cell(document, c, now) for c in columns)] for document in documents]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
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
    """Write a timedelta as kubectl does: 45s, 12m, 5h, 3d."""
    seconds = int(elapsed.total_seconds())
    for below, unit, letter in _STEPS:
        if seconds < below:
            return f"{seconds // unit}{letter}"
    return f"{seconds // _DAY}d"
