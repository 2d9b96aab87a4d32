"""The bracket: between which percents of gpuMemoryUtilization a server can live, as its crashes tell. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from toolorch_api.modelpool_status import Ladder
from toolorch_operator.modelpool.memory.counts import restarts_of
from toolorch_operator.modelpool.memory.crashes import Crash

# The KV cache gets what utilization leaves over, so these say that it was too low.
TOO_LOW = frozenset(("KV_NONE", "KV_SMALL", "KV_SMALL_V0", "AUTOFIT", "MAMBA", "EXT", "CPU"))
# The KV cache is sized, and what comes after it finds no room; or the log does not tell, and users mean this.
TOO_HIGH = frozenset(("CAPTURE_OOM", "RUN_OOM", "CUDA_OOM"))

# Graphs and fragmentation move by more than this from start to start: there is nothing to be found in between.
_NARROWEST = 4


def is_too_low(crash: Crash) -> bool:
    """Tell whether a crash says that the utilization was too low."""
    return crash.signature in TOO_LOW


def is_too_high(crash: Crash, steps: Mapping[str, int]) -> bool:
    """Tell whether a crash says that the utilization was too high."""
    if crash.signature == "FREE_LT":
        # At the first one an earlier server may still have been giving its memory back.
        return restarts_of(crash, steps) > 0
    return crash.signature in TOO_HIGH or (crash.signature == "SAMPLER_OOM" and crash.phase == "P3")


def with_verdict(ladder: Ladder, crash: Crash, percent: int) -> Ladder:
    """Return the ladder that knows what a crash at `percent` says about it; the same crash twice says no more."""
    if is_too_low(crash):
        return ladder.model_copy(update={"too_low": max(percent, ladder.too_low or 0)})
    if is_too_high(crash, ladder.steps):
        return ladder.model_copy(update={"too_high": min(percent, ladder.too_high or percent)})
    return ladder


def is_closed(ladder: Ladder) -> bool:
    """Tell whether two opposite verdicts leave nothing to try between them."""
    if ladder.too_low is None or ladder.too_high is None:
        return False
    return ladder.too_high - ladder.too_low <= _NARROWEST


def is_torn(ladder: Ladder) -> bool:
    """Tell whether crashes have said both, too low and too high, even if other settings changed in between."""
    was_low = any(key.partition("/")[0] in TOO_LOW for key in ladder.steps)
    return ladder.too_high is not None and (was_low or ladder.too_low is not None)
