"""A score from counts, written as the report writes it: three decimals, and Wilson's 95 % interval. PURE.

It holds where passed means a reward of 1 and failed one of 0, as in all benchmarks here.
"""

from __future__ import annotations

from typing import Any

from toolorch_api.evalrun_status import UnitCounts
from toolorch_api.figures import decimals, span, wilson_interval


def format_score(passed: int, of: int) -> str:
    """Return passed/of with three decimals; empty where there is nothing to divide by."""
    return decimals(passed / of if of else None)


def format_interval(passed: int, n: int) -> str:
    """Return the 95 % Wilson score interval of a share, such as 0.32–0.58; empty for n = 0."""
    return span(wilson_interval(passed, n))


def score_fields(units: UnitCounts, trials: int) -> dict[str, Any]:
    """Return the score's fields of status; pass^k of several trials needs the results and comes with the report."""
    score = format_score(units.passed, units.done)
    return {
        "score": score,
        "score_scheduled": format_score(units.passed, units.total),
        "interval": format_interval(units.passed, units.done),
        "interval_scheduled": format_interval(units.passed, units.total),
        "pass_hat_k": {"1": score} if trials == 1 and score else {},
    }
