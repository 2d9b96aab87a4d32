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
    """A table; the first columns are texts, the others numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    sums: bool = False
    """Whether the last row is the sum of the others."""


def latency_table(rows: Sequence[RoleLatency]) -> Table:
    """Return how long calls took, in seconds."""
    spread = ("mean", "std", "min", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "max")
    return Table(
        ("role", "pool", "calls", *spread, "under 5 s"),
        [
            (
                _role(row),
                row.pool,
                _count(row.calls),
                *(_seconds(getattr(row, f"{name}_ms")) for name in spread),
                f"{100 * row.share_under_5s:.1f} %",
            )
            for row in rows
        ],
        texts=2,
    )


def token_table(rows: Sequence[RoleLatency]) -> Table:
    """Return what calls brought, and what they waited for."""
    streamed = any(row.first_p50_ms is not None for row in rows)
    first = ("first token p50 s", "p95 s") if streamed else ()
    return Table(
        ("role", "pool", "failed", "retried", "waited p50 s", "p95 s", *first, "prompt tokens", "output tokens",
         "output tokens/s"),
        [
            (
                _role(row),
                row.pool,
                _count(row.failed),
                _count(row.retried),
                _seconds(row.waited_p50_ms),
                _seconds(row.waited_p95_ms),
                *((_seconds(row.first_p50_ms), _seconds(row.first_p95_ms)) if streamed else ()),
                _count(row.prompt_tokens),
                _count(row.completion_tokens),
                f"{row.tokens_per_second:.1f}",
            )
            for row in rows
        ],
        texts=2,
    )  # fmt: skip


def effects_table(effects: Sequence[Effect]) -> Table:
    """Return each variant against control."""
    return Table(
        ("variant", "test", "n tasks", "n trials", "control", "score", "points", "95 % interval", "Cohen's d",
         "lost", "gained", "odds", "p", "p, Holm"),
        [
            (
                e.variant,
                e.test,
                _count(e.tasks),
                _count(e.pairs),
                decimals(e.control),
                decimals(e.score),
                points(e.difference),
                f"{points(e.interval[0])} to {points(e.interval[1])}",
                "–" if e.d is None else f"{e.d:+.2f}".replace("-", "−"),
                _count(e.lost),
                _count(e.gained),
                "–" if e.odds is None else f"{e.odds:.2f}",
                _p(e.p),
                _p(e.p_holm),
            )
            for e in effects
        ],
        texts=2,
    )  # fmt: skip


def cost_table(costs: Costs) -> Table:
    """Return tokens and what they cost, by role, the sum last."""
    rows = [
        (
            row.role if row.part != "evaluator" else f"{row.role} (evaluator)",
            row.pool,
            *_price(costs, row.pool),
            _count(row.prompt_tokens),
            _count(row.completion_tokens),
            write_dollars(row.dollars),
        )
        for row in costs.rows
    ]
    tokens = (sum(row.prompt_tokens for row in costs.rows), sum(row.completion_tokens for row in costs.rows))
    # A sum over part of the roles must not look like the whole.
    known = f"{write_dollars(costs.dollars)}{' and more' if costs.unpriced and costs.dollars is not None else ''}"
    columns = ("role", "pool", "USD/M prompt", "USD/M output", "prompt tokens", "output tokens", "USD")
    return Table(columns, [*rows, ("all", "", "", "", *map(_count, tokens), known)], texts=2, sums=True)


def tool_table(happened: Happened) -> Table:
    """Return how often tools were called and how that came out."""
    rows = [
        (tool.name, ", ".join(f"{name} {count}" for name, count in tool.others.items()) or "–", _count(tool.calls),
         _count(tool.good))
        for tool in happened.tools
    ]  # fmt: skip
    return Table(("tool", "otherwise", "calls", "ok"), rows, texts=2)


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
