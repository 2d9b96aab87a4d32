"""How far a run is, by its shards: counts, usage, and the expected end. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from toolorch_api.evalrun_status import UnitCounts, Usage
from toolorch_api.shard import Progress

# A shard's progress keeps at most this many ends; fewer mean that they reach back to the shard's start.
RECENT_ENDS = 32


def count_units(progress: Iterable[Progress], attempt: int, total: int) -> UnitCounts:
    """Sum outcomes over all attempts; infra errors and running units are those of the newest, which took them over."""
    everything = list(progress)
    newest = [p for p in everything if p.attempt == attempt]
    passed, failed = sum(p.passed for p in everything), sum(p.failed for p in everything)
    return UnitCounts(
        total=total,
        done=passed + failed,
        passed=passed,
        failed=failed,
        infra_errors=sum(p.infra_errors for p in newest),
        running=sum(p.running for p in newest),
    )


def sum_usage(progress: Iterable[Progress]) -> Usage:
    """Sum what all shards of all attempts have used."""
    used = [p.usage for p in progress]
    return Usage(
        prompt_tokens=sum(u.prompt_tokens for u in used),
        completion_tokens=sum(u.completion_tokens for u in used),
        calls=sum(u.calls for u in used),
        gpu_seconds=sum(u.gpu_seconds for u in used),
    )


def expected_seconds(progress: Iterable[Progress], attempt: int, now: datetime) -> float | None:
    """Return the seconds until an attempt's units are through, at the pace of the last ones.

    None while no unit has ended. Shards share their units, so what counts is the pace of all that are still at work;
    one that has ended none goes by the mean pace of the others.
    """
    shards = [p for p in progress if p.attempt == attempt]
    known = [pace for p in shards if (pace := _pace(p, now))]
    if not known:
        return None
    mean = sum(known) / len(known)
    left = sum(p.total - p.done - p.infra_errors for p in shards)
    speed = sum(_pace(p, now) or mean for p in shards if not p.finished)
    return max(0, left) / speed if speed else 0.0


def format_eta(seconds: float | None) -> str:
    """Return a duration in the two largest units that matter: <1m, 12m, 3h20m, 2d4h; empty for None."""
    if seconds is None:
        return ""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "<1m"
    hours, days = minutes // 60, minutes // 1440
    if days:
        return f"{days}d{hours % 24}h"
    return f"{hours}h{minutes % 60}m" if hours else f"{minutes}m"


def _pace(shard: Progress, now: datetime) -> float:
    ends = shard.recent_ends
    if not ends:
        return 0.0
    since = min(ends) if len(ends) >= RECENT_ENDS else shard.started_at
    return len(ends) / max(1.0, (now - since).total_seconds())
