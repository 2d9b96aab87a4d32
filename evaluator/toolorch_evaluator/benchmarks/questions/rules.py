"""In what HLE and FRAMES differ, as figures: budgets, how many documents, how often one may search.

Source: ToolOrchestra's eval_hle_oss.py and eval_frames_oss.py; its budgets are for windows of 32,768 tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolorch_evaluator.benchmarks.questions.notes import Budget

MAX_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one benchmark."""

    name: str
    gated: bool
    """Whether questions and answers must not be stored."""
    shown: Budget
    """Notes that the agent sees."""
    reasoning: Budget
    answering: Budget
    querying: Budget
    query_prompt: str
    shortest_query: int
    """Characters; with less nothing is searched for."""
    documents: int
    """Documents asked for in a search."""
    searches_once: bool
    """Whether the tool search is taken away after it has found something."""
    several_tools: bool
    """Whether different tools of one reply are all carried out, side by side."""


HLE = Rules(
    name="hle",
    gated=True,
    shown=Budget(27_000, 12_000, 1200),
    reasoning=Budget(24_000, 12_000, 1000),
    answering=Budget(24_000, 10_000),
    querying=Budget(24_000, 12_000, 1000),
    query_prompt="query.md",
    shortest_query=5,
    documents=50,
    searches_once=False,
    several_tools=False,
)
FRAMES = Rules(
    name="frames",
    gated=False,
    shown=Budget(24_000, 12_000, 4000),
    reasoning=Budget(24_000, 12_000),
    answering=Budget(24_000, 10_000),
    querying=Budget(24_000, 12_000),
    query_prompt="query_wiki.md",
    shortest_query=10,
    documents=150,
    searches_once=True,
    several_tools=True,
)
