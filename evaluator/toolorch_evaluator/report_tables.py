"""Tables of the report as texts, for the page and for Markdown: one place decides how a number is written. PURE."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_api.figures import decimals
from toolorch_evaluator.comparison import points
from toolorch_evaluator.costs import Costs, write_dollars
from toolorch_evaluator.counted import Happened
from toolorch_evaluator.effects import Effect
from toolorch_evaluator.latency import RoleLatency

# Fewer than this, and an exact p says no more.
_LEAST_P = 0.0001


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first columns are texts, the others numbers. What people look for first stands first."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    sums: bool = False
    """Whether the last row is the sum of the others."""
    wraps: bool = False
    """Whether texts may take several lines."""


def latency_table(rows: Sequence[RoleLatency]) -> Table:
    """Return how long calls took, in seconds."""
    spread = ("mean", "std", "min", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "max")
    return Table(
        ("role", "calls", *spread, "under 5 s", "pool"),
        [
            (
                _role(row),
                _count(row.calls),
                *(_seconds(getattr(row, f"{name}_ms")) for name in spread),
                f"{100 * row.share_under_5s:.1f} %",
                row.pool,
            )
            for row in rows
        ],
    )


def token_table(rows: Sequence[RoleLatency]) -> Table:
    """Return what calls brought, and what they waited for."""
    streamed = any(row.first_p50_ms is not None for row in rows)
    first = ("first token p50 s", "first token p95 s") if streamed else ()
    return Table(
        ("role", "output tokens/s", "output tokens", "prompt tokens", *first, "waited p50 s", "waited p95 s", "retried",
         "failed", "pool"),
        [
            (
                _role(row),
                f"{row.tokens_per_second:.1f}",
                _count(row.completion_tokens),
                _count(row.prompt_tokens),
                *((_seconds(row.first_p50_ms), _seconds(row.first_p95_ms)) if streamed else ()),
                _seconds(row.waited_p50_ms),
                _seconds(row.waited_p95_ms),
                _count(row.retried),
                _count(row.failed),
                row.pool,
            )
            for row in rows
        ],
    )  # fmt: skip


def effects_table(effects: Sequence[Effect]) -> Table:
    """Return each variant against control."""
    return Table(
        ("variant", "points", "95 % interval", "p, Holm", "p", "n tasks", "n trials", "Cohen's d", "odds", "lost",
         "gained", "control", "variant's score", "test"),
        [
            (
                e.variant,
                points(e.difference),
                f"{points(e.interval[0])} to {points(e.interval[1])}",
                _p(e.p_holm),
                _p(e.p),
                _count(e.tasks),
                _count(e.pairs),
                "–" if e.d is None else f"{e.d:+.2f}".replace("-", "−"),
                "–" if e.odds is None else f"{e.odds:.2f}",
                _count(e.lost),
                _count(e.gained),
                decimals(e.control),
                decimals(e.score),
                e.test,
            )
            for e in effects
        ],
    )  # fmt: skip


def cost_table(costs: Costs) -> Table:
    """Return tokens and what they cost, by role, the sum last."""
    rows = [
        (
            row.role if row.part != "evaluator" else f"{row.role} (evaluator)",
            write_dollars(row.dollars),
            _count(row.prompt_tokens),
            _count(row.completion_tokens),
            *_price(costs, row.pool),
            row.pool,
        )
        for row in costs.rows
    ]
    tokens = (sum(row.prompt_tokens for row in costs.rows), sum(row.completion_tokens for row in costs.rows))
    # A sum over part of the roles must not look like the whole.
    known = f"{write_dollars(costs.dollars)}{' and more' if costs.unpriced and costs.dollars is not None else ''}"
    columns = ("role", "USD", "prompt tokens", "output tokens", "USD/M prompt", "USD/M output", "pool")
    return Table(columns, [*rows, ("all", known, *map(_count, tokens), "", "", "")], sums=True)


def tool_table(happened: Happened) -> Table:
    """Return how often tools were called and how that came out."""
    rows = [
        (tool.name, ", ".join(f"{name} {count}" for name, count in tool.others.items()) or "–", _count(tool.calls),
         _count(tool.good))
        for tool in happened.tools
    ]  # fmt: skip
    return Table(("tool", "otherwise", "calls", "ok"), rows, texts=2, wraps=True)


def show_told(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return prompts and tools of prompts.json as titled texts."""
    texts = [(f"Prompt, {whose}", str(text)) for whose, text in told.get("texts", {}).items()]
    tools = [
        (f"Tools, {whose}", json.dumps(offered, ensure_ascii=False, indent=1))
        for whose, offered in told.get("tools", {}).items()
    ]
    return texts + tools


def _price(costs: Costs, pool: str) -> tuple[str, str]:
    price = costs.prices.get(pool)
    return ("–", "–") if price is None else (price.input, price.output)


def _role(row: RoleLatency) -> str:
    return row.role if row.part in (row.role, "expert") else f"{row.role} ({row.part})"


def _count(number: int) -> str:
    return f"{number:,}"


def _seconds(ms: float | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.2f}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= _LEAST_P else f"< {_LEAST_P:.4f}"
