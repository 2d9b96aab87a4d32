"""Parts of summary.json that the report's tables tell too: effects, costs, tools and counts. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from toolorch_evaluator.costs import Costs, write_dollars
from toolorch_evaluator.counted import Happened
from toolorch_evaluator.effects import Effect
from toolorch_evaluator.latency import RoleLatency


def latency_document(rows: Sequence[RoleLatency]) -> list[dict[str, Any]]:
    """Return how long calls took, by role; what charts alone need is left out."""
    return [
        {"part": row.part, **{k: v for k, v in asdict(row).items() if k not in ("curve_ms", "histogram")}}
        for row in rows
    ]


def effects_document(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """Return each variant against control; shares with five decimals, differences variant − control."""
    return [
        {
            "variant": e.variant,
            "tasks": e.tasks,
            "trials": e.pairs,
            "control": round(e.control, 5),
            "score": round(e.score, 5),
            "difference": round(e.difference, 5),
            "low": round(e.interval[0], 5),
            "high": round(e.interval[1], 5),
            "cohensD": None if e.d is None else round(e.d, 5),
            "lost": e.lost,
            "gained": e.gained,
            "odds": None if e.odds is None else round(e.odds, 5),
            "test": e.test,
            "p": e.p,
            "pHolm": e.p_holm,
        }
        for e in effects
    ]


def costs_document(costs: Costs) -> dict[str, Any]:
    """Return tokens and dollars by role; amounts are texts, "unknown" where a pool has no price."""
    return {
        "dollars": write_dollars(costs.dollars),
        "evaluatorDollars": write_dollars(costs.evaluator),
        "unpriced": costs.unpriced,
        "prices": {pool: price.model_dump(by_alias=True) for pool, price in costs.prices.items()},
        "roles": [
            {
                "role": row.role,
                "pool": row.pool,
                "part": row.part,
                "promptTokens": row.prompt_tokens,
                "completionTokens": row.completion_tokens,
                "dollars": write_dollars(row.dollars),
            }
            for row in costs.rows
        ],
    }


def happened_document(happened: Happened) -> dict[str, Any]:
    """Return counts, tools, and where there are experts how often they were called."""
    experts = happened.experts
    told = {} if experts is None else {
        "experts": {
            "turns": experts.turns,
            "calls": dict(experts.calls),
            "callsPerTurn": None if experts.rate is None else round(experts.rate, 5),
        }
    }  # fmt: skip
    tools = [{"tool": t.name, "calls": t.calls, "ok": t.good, "otherwise": dict(t.others)} for t in happened.tools]
    return {"counts": dict(happened.counts), "tools": tools, **told}
