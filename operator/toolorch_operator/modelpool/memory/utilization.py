"""Remedies that move gpuMemoryUtilization, within its bounds and within the bracket of what crashes told. PURE."""

from __future__ import annotations

from math import ceil, floor

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.memory.bracket import is_closed
from toolorch_operator.modelpool.memory.changes import Change, Situation, with_setting

# Contexts of CUDA and NCCL, and what the measure of free memory is off by.
_RESERVE = 2
# A step of 5 points adds about 15 % to a cache that has a third of the GPU: a larger gap is not closed by steps.
_NEAR = 1.15


def lower(s: Situation) -> Change | None:
    """Propose one step less, or half the way down to where the KV cache did not fit if that is less."""
    if is_closed(s.ladder):
        return None
    bounds = s.spec.remediation.gpu_memory_utilization
    target = max(bounds.min, s.percent - bounds.step)
    if s.ladder.too_low is not None:
        target = max(target, (s.percent + s.ladder.too_low) // 2)
    return _lower_to(s, target)


def lower_after_kv(s: Situation) -> Change | None:
    """Propose less only where the KV cache was already sized: before that, utilization has no part in it."""
    return lower(s) if s.crash.phase == "P3" else None


def lower_to_free(s: Situation) -> Change | None:
    """Propose what is free on a shared GPU, less a reserve; None where that is below the minimum."""
    target = _free_percent(s)
    is_enough = target is not None and target >= s.spec.remediation.gpu_memory_utilization.min
    if target is None or not is_enough or is_closed(s.ladder) or target <= (s.ladder.too_low or 0):
        return None
    return _lower_to(s, target)


def raise_utilization(s: Situation) -> Change | None:
    """Propose one step more, or half the way up to where memory ran out."""
    if is_closed(s.ladder):
        return None
    if s.ladder.too_high is not None:
        return _raise_to(s, (s.percent + s.ladder.too_high) // 2)
    return _raise_to(s, s.percent + s.spec.remediation.gpu_memory_utilization.step)


def raise_by_need(s: Situation) -> Change | None:
    """Propose as much as the KV cache lacks; where the GPU's size is not told, a step if not much is lacking."""
    found = s.crash.figures
    if is_closed(s.ladder):
        return None
    if found.need is None or found.avail is None or not found.total:
        return raise_utilization(s) if _is_near(s) else None
    target = s.percent + ceil((found.need - found.avail) / found.total * 100) + 1
    is_open = s.ladder.too_high is None or target < s.ladder.too_high
    return _raise_to(s, target) if is_open and target <= _ceiling(s) else None


def raise_as_told(s: Situation) -> Change | None:
    """Propose just more than the fraction that the server's message calls too small; without one, a step."""
    told = s.crash.figures.need
    if told is None or not 0 < told < 1 or floor(told * 100) + 1 <= s.percent or s.ladder.too_high is not None:
        return raise_utilization(s)
    target = floor(told * 100) + 1
    return _raise_to(s, target) if target <= _ceiling(s) else None


def _is_near(s: Situation) -> bool:
    found = s.crash.figures
    asked, there = (found.need, found.avail) if found.need is not None else (found.mml, found.est)
    return asked is not None and there is not None and asked < there * _NEAR


def _ceiling(s: Situation) -> int:
    highest, free = s.spec.remediation.gpu_memory_utilization.max, _free_percent(s)
    return highest if free is None else min(highest, free)


def _free_percent(s: Situation) -> int | None:
    found = s.crash.figures
    return None if found.free is None or not found.total else floor(found.free / found.total * 100) - _RESERVE


def _lower_to(s: Situation, target: int) -> Change | None:
    return None if target >= s.percent else _change(s, target, PoolReason.GPU_MEMORY_UTILIZATION_LOWERED)


def _raise_to(s: Situation, target: int) -> Change | None:
    capped = min(target, _ceiling(s))
    return None if capped <= s.percent else _change(s, capped, PoolReason.GPU_MEMORY_UTILIZATION_RAISED)


def _change(s: Situation, target: int, reason: PoolReason) -> Change:
    after = with_setting(s.effective, gpu_memory_utilization=target)
    return Change("gpuMemoryUtilization", str(s.percent), str(target), reason, after)
