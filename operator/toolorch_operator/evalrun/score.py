"""A score from counts, written as the report writes it: three decimals, and Wilson's 95 % interval. PURE.

It holds where passed means a reward of 1 and failed one of 0, as in all benchmarks here.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

from toolorch_api.evalrun_status import UnitCounts

Z_95 = 1.959963984540054
"""Quantile 0.975 of the normal distribution."""


def format_score(passed: int, of: int) -> str:
    """Return passed/of with three decimals; empty where there is nothing to divide by."""
    return f"{passed / of:.3f}" if of else ""


def format_interval(passed: int, n: int) -> str:
    """Return the 95 % Wilson score interval of a share, such as 0.32–0.58; empty for n = 0."""
    if n == 0:
        return ""
    share, weight = passed / n, Z_95**2 / n
    centre = (share + weight / 2) / (1 + weight)
    half = Z_95 * sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return f"{max(0.0, centre - half):.2f}–{min(1.0, centre + half):.2f}"


def score_fields(units: UnitCounts, trials: int) -> dict[str, Any]:
    """Return the score's fields of status; pass^k of several trials needs the results and comes with the report."""
    score = format_score(units.passed, units.done)
    return {
        "score": score,
        "score_scheduled": format_score(units.passed, units.total),
        "interval": format_interval(units.passed, units.done),
        "pass_hat_k": {"1": score} if trials == 1 and score else {},
    }
