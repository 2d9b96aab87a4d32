"""How many things were under way at a time, over the length of a run: conversations, and calls at model servers."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# As many as a phone has columns of pixels to tell them apart.
SLICES = 300


@dataclass(slots=True)
class Spans:
    """When things began and ended, in seconds since the epoch: sixteen bytes for each."""

    begins: array[float] = field(default_factory=lambda: array("d"))
    ends: array[float] = field(default_factory=lambda: array("d"))

    def add(self, begin: float, seconds: float) -> None:
        """Take one thing."""
        self.begins.append(begin)
        self.ends.append(begin + max(0.0, seconds))

    @property
    def reach(self) -> tuple[float, float]:
        """Return the first begin and the last end; there must be a span."""
        return min(self.begins), max(self.ends)


def mean_under_way(spans: Spans, first: float, last: float, slices: int = SLICES) -> list[float]:
    """Return how many of the spans were under way on average in each of so many even slices from first to last.

    Averages are exact, however short a span: over all slices they add up to the time that the spans took.
    """
    edges = np.linspace(first, last, slices + 1)
    width = (last - first) / slices
    if width <= 0:
        return [0.0] * slices
    taken = _time_since(spans.begins, edges) - _time_since(spans.ends, edges)
    return [float(mean) for mean in np.diff(taken) / width]


def _time_since(moments: Sequence[float], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return for each edge how much time has passed since the moments before it, all of them together."""
    # Seconds since the epoch added up by the million would leave no digits for milliseconds.
    ordered = np.sort(np.asarray(moments, dtype=float)) - edges[0]
    passed = np.searchsorted(ordered, edges - edges[0])
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    result: npt.NDArray[np.float64] = passed * (edges - edges[0]) - sums[passed]
    return result
