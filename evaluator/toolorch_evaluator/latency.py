"""How long models took: the events of all calls, summed up per role and pool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


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
    mean_ms: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    completion_tokens: int
    tokens_per_second: float
    """Completion tokens per second of call time: one stream's pace, not the server's throughput."""
    sample_ms: Sequence[int]
    """All answered calls' milliseconds, for the chart."""


def sum_up_latency(events: Iterable[Mapping[str, Any]]) -> list[RoleLatency]:
    """Sum up call events per role and pool, in order of name; agent and user first, since most calls are theirs."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        groups[event["role"], event["pool"]].append(event)
    ordered = sorted(groups.items(), key=lambda item: (item[0][0] not in ("agent", "user"), item[0]))
    return [_row(role, pool, members) for (role, pool), members in ordered]


def _row(role: str, pool: str, events: Sequence[Mapping[str, Any]]) -> RoleLatency:
    answered = [e for e in events if not e["cause"]]
    sample = np.array([e["ms"] for e in answered] or [0], dtype=float)
    tokens = sum(e["completion_tokens"] for e in answered)
    seconds = float(sample.sum()) / 1000
    return RoleLatency(
        role=role,
        pool=pool,
        calls=len(answered),
        failed=len(events) - len(answered),
        retried=sum(e["tries"] > 1 for e in answered),
        mean_ms=float(sample.mean()),
        p50_ms=float(np.percentile(sample, 50)),
        p95_ms=float(np.percentile(sample, 95)),
        max_ms=float(sample.max()),
        completion_tokens=tokens,
        tokens_per_second=tokens / seconds if seconds else 0.0,
        sample_ms=[e["ms"] for e in answered],
    )
