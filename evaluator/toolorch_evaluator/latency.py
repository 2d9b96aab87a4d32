"""How long models took: the events of all calls, summed up per role and pool, and when calls were under way.

Each call to a model is one event of its own: where an expert writes the agent's turn, the agent's call and the expert's
stand in two rows and no second is in both.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from toolorch_evaluator.occupancy import Spans

CURVE_POINTS = 1000
# A completion of fewer tokens is empty, or an end mark alone.
EMPTY_TOKENS = 2
# Up to here a person who waits for an answer goes on waiting.
SHORT_MS = 5000
PERCENTILES = (10, 25, 50, 75, 90, 95, 99)
# Eight bars per tenfold, from a hundredth of a second to almost three hours: narrow enough to show two humps.
HISTOGRAM_MS = np.geomspace(10, 1e7, 49)
_FIRST = ("agent", "user")


@dataclass(frozen=True, slots=True)
class RoleLatency:
    """Calls of one role to one pool; milliseconds are those of the try that was answered."""

    role: str
    pool: str
    calls: int
    """Answered calls."""
    failed: int
    retried: int
    """Answered calls that took more than one try."""
    empty: int
    """Answered calls whose completion has no text and no tool call, as far as the server tells."""
    mean_ms: float
    std_ms: float
    """Standard deviation of the sample; 0 for a single call."""
    min_ms: float
    p10_ms: float
    p25_ms: float
    p50_ms: float
    p75_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    share_under_5s: float
    prompt_tokens: int
    """Of all answers, those that nobody could read included, like the next."""
    completion_tokens: int
    tokens_per_second: float
    """Completion tokens per second of call time: one stream's pace, not the server's throughput."""
    curve_ms: Sequence[float]
    """Milliseconds at evenly spaced percentiles from 0 to 100, for the chart."""
    histogram: Sequence[int]
    """Answered calls between one of HISTOGRAM_MS and the next; what lies outside counts with the nearest."""
    waited_p50_ms: float
    """Before the try that was answered: no endpoint ready, failed tries and the pauses after them."""
    waited_p95_ms: float
    first_p50_ms: float | None
    """Time to first token, over the calls whose answers were streamed; None where none was."""
    first_p95_ms: float | None
    cut: int
    """Answered calls whose answer was allowed fewer tokens than the spec says."""
    troubles: Mapping[str, int]
    """Tries that failed, by cause, those of failed calls included."""

    @property
    def part(self) -> str:
        """Which part of the run the role plays: agent, user, expert, or the evaluator, who takes no part in any."""
        return {"agent": "agent", "user": "user", "judge": "evaluator"}.get(self.role, "expert")


@dataclass(slots=True)
class _Sums:
    """What is kept of one role's calls: eight bytes per answered call, twelve per streamed one, however many."""

    answered_ms: array[int] = field(default_factory=lambda: array("I"))
    waited_ms: array[int] = field(default_factory=lambda: array("I"))
    first_ms: array[int] = field(default_factory=lambda: array("I"))
    troubles: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    failed: int = 0
    retried: int = 0
    empty: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    answered_tokens: int = 0

    def add(self, event: Mapping[str, Any]) -> None:
        prompt, completion = event.get("prompt_tokens", 0), event["completion_tokens"]
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        self.troubles.update(event.get("failed", ()))
        if event["cause"]:
            self.failed += 1
            return
        self.answered_ms.append(event["ms"])
        self.waited_ms.append(event.get("waited_ms", 0))
        if (first := event.get("first_ms")) is not None:
            self.first_ms.append(first)
        self.cut += event.get("cut_tokens", 0) > 0
        self.retried += event["tries"] > 1
        self.answered_tokens += completion
        # A server that reports no usage at all says nothing about its completions.
        self.empty += prompt > 0 and completion < EMPTY_TOKENS


class LatencySums:
    """Call events summed up per role and pool, one at a time; a million of them take some 25 MB."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Sums] = defaultdict(_Sums)
        self.under_way = Spans()
        """When the newest try of each call was at its server."""

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one event, as `CallEvent` writes it."""
        self._groups[event["role"], event["pool"]].add(event)
        if at := event.get("at"):
            sent = datetime.fromisoformat(at).timestamp() + event.get("waited_ms", 0) / 1000
            self.under_way.add(sent, event["ms"] / 1000)

    def rows(self) -> list[RoleLatency]:
        """Return the sums in order of name: agent and user first, since most calls are theirs, the judge last."""

        def place(item: tuple[tuple[str, str], _Sums]) -> tuple[bool, bool, tuple[str, str]]:
            return item[0][0] not in _FIRST, item[0][0] == "judge", item[0]

        return [_row(role, pool, sums) for (role, pool), sums in sorted(self._groups.items(), key=place)]


def _row(role: str, pool: str, sums: _Sums) -> RoleLatency:
    sample = np.array(sums.answered_ms or [0], dtype=float)
    seconds = float(sample.sum()) / 1000
    p10, p25, p50, p75, p90, p95, p99 = map(float, np.percentile(sample, PERCENTILES))
    shares = np.linspace(0, 100, min(len(sample), CURVE_POINTS))
    return RoleLatency(
        role=role,
        pool=pool,
        calls=len(sums.answered_ms),
        failed=sums.failed,
        retried=sums.retried,
        empty=sums.empty,
        mean_ms=float(sample.mean()),
        std_ms=float(sample.std(ddof=1)) if len(sample) > 1 else 0.0,
        min_ms=float(sample.min()),
        p10_ms=p10,
        p25_ms=p25,
        p50_ms=p50,
        p75_ms=p75,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(sample.max()),
        share_under_5s=float((sample < SHORT_MS).mean()),
        prompt_tokens=sums.prompt_tokens,
        completion_tokens=sums.completion_tokens,
        tokens_per_second=sums.answered_tokens / seconds if seconds else 0.0,
        curve_ms=[float(ms) for ms in np.percentile(sample, shares)],
        histogram=_histogram(sample) if sums.answered_ms else [],
        waited_p50_ms=_percentile(sums.waited_ms, 50) or 0.0,
        waited_p95_ms=_percentile(sums.waited_ms, 95) or 0.0,
        first_p50_ms=_percentile(sums.first_ms, 50),
        first_p95_ms=_percentile(sums.first_ms, 95),
        cut=sums.cut,
        troubles=dict(sums.troubles.most_common()),
    )


def _histogram(sample: npt.NDArray[np.float64]) -> list[int]:
    counts, _ = np.histogram(np.clip(sample, HISTOGRAM_MS[0], HISTOGRAM_MS[-1]), HISTOGRAM_MS)
    return [int(count) for count in counts]


def _percentile(sample: array[int], share: int) -> float | None:
    return float(np.percentile(sample, share)) if sample else None
