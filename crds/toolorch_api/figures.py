"""How a score is computed and written, the same in status, report and table. PURE."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def wilson_interval(passed: int, n: int) -> tuple[float, float] | None:
    """Return the 95 % Wilson score interval of passed out of n; None for n = 0."""
    if not n:
        return None
    share, weight = passed / n, _Z * _Z / n
    middle = share + weight / 2
    reach = _Z * sqrt(share * (1 - share) / n + weight / (4 * n))
    # Rounding may leave [0, 1] by a hair where all or none passed.
    low, high = ((middle + side * reach) / (1 + weight) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def decimals(value: float | None) -> str:
    """Write a share with three decimals; an empty string for none."""
    return "" if value is None else f"{value:.3f}"


def span(interval: tuple[float, float] | None) -> str:
    """Write an interval, such as 0.32–0.58; an empty string for none."""
    return "" if interval is None else f"{interval[0]:.2f}–{interval[1]:.2f}"
