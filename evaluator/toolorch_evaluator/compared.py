"""A comparison of two runs, written down: as rows for tables, and as a JSON document. PURE."""

from __future__ import annotations

from typing import Any

from toolorch_api.figures import decimals
from toolorch_evaluator.comparison import Comparison, Row, points, write_interval


def show_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the rows as a table shows them, the whole last."""
    rows = [*comparison.groups, *([comparison.whole] if comparison.whole else [])]
    return [_shown(row) for row in rows]


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Build the JSON document of a comparison; shares with five decimals, differences after − before."""
    whole = comparison.whole
    return {
        "before": comparison.before,
        "after": comparison.after,
        "whole": None if whole is None else _row_document(whole),
        "groups": [_row_document(row) for row in comparison.groups],
        "onlyBefore": comparison.only_before,
        "onlyAfter": comparison.only_after,
        "obstacle": comparison.obstacle,
    }


def _shown(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "tasks": row.tasks,
        "units": row.pairs,
        "before": decimals(row.before),
        "after": decimals(row.after),
        "points": points(row.difference),
        "interval": write_interval(row),
        "lost": row.lost,
        "gained": row.gained,
    }


def _row_document(row: Row) -> dict[str, Any]:
    low, high = row.interval
    numbers = {"before": row.before, "after": row.after, "difference": row.difference, "low": low, "high": high}
    counts = {"tasks": row.tasks, "units": row.pairs, "lost": row.lost, "gained": row.gained}
    return {"name": row.name, **counts, **{name: round(value, 5) for name, value in numbers.items()}}
