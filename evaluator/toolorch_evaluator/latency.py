"""How long models took: the events of all calls, summed up per role and pool."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CURVE_POINTS = 1000
# A completion of fewer tokens is empty, or an end mark alone.
EMPTY_TOKENS = 2


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
    p50_ms: float
    p95_ms: float
    max_ms: float
    completion_tokens: int
    tokens_per_second: float
    """Completion tokens per second of call time: one stream's pace, not the server's throughput."""
    curve_ms: Sequence[float]
    """Milliseconds at evenly spaced percentiles from 0 to 100, for the chart."""
    waited_p95_ms: float
    """Before the try that was answered: no endpoint ready, failed tries and the pauses after them."""
    first_p50_ms: float | None
    """Time to first token, over the calls whose answers were streamed; None where none was."""
    first_p95_ms: float | None
    cut: int
    """Answered calls whose answer was allowed fewer tokens than the spec says."""
    troubles: Mapping[str, int]
    """Tries that failed, by cause, those of failed calls included."""


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
    tokens: int = 0

    def add(self, event: Mapping[str, Any]) -> None:
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
        self.tokens += event["completion_tokens"]
        # A server that reports no usage at all says nothing about its completions.
        self.empty += event.get("prompt_tokens", 0) > 0 and event["completion_tokens"] < EMPTY_TOKENS


class LatencySums:
    """Call events summed up per role and pool, one at a time."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], _Sums] = defaultdict(_Sums)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one event, as `CallEvent` writes it."""
        self._groups[event["role"], event["pool"]].add(event)

    def rows(self) -> list[RoleLatency]:
        """Return the sums in order of name, agent and user first, since most calls are theirs."""
        ordered = sorted(self._groups.items(), key=lambda item: (item[0][0] not in ("agent", "user"), item[0]))
        return [_row(role, pool, sums) for (role, pool), sums in ordered]


def _row(role: str, pool: str, sums: _Sums) -> RoleLatency:
    sample = np.array(sums.answered_ms or [0], dtype=float)
    seconds = float(sample.sum()) / 1000
    shares = np.linspace(0, 100, min(len(sample), CURVE_POINTS))
    return RoleLatency(
        role=role,
        pool=pool,
        calls=len(sums.answered_ms),
        failed=sums.failed,
        retried=sums.retried,
        empty=sums.empty,
        mean_ms=float(sample.mean()),
        p50_ms=float(np.percentile(sample, 50)),
        p95_ms=float(np.percentile(sample, 95)),
        max_ms=float(sample.max()),
        completion_tokens=sums.tokens,
        tokens_per_second=sums.tokens / seconds if seconds else 0.0,
        curve_ms=[float(ms) for ms in np.percentile(sample, shares)],
        waited_p95_ms=_percentile(sums.waited_ms, 95) or 0.0,
        first_p50_ms=_percentile(sums.first_ms, 50),
        first_p95_ms=_percentile(sums.first_ms, 95),
        cut=sums.cut,
        troubles=dict(sums.troubles.most_common()),
    )


def _percentile(sample: array[int], share: int) -> float | None:
    return float(np.percentile(sample, share)) if sample else None
