"""The table of the ladder: which remedies a crash's class has, in order. A further remedy is a row. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolorch_api.modelpool import ModelPoolSpec, Remedy
from toolorch_api.modelpool_status import Effective
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.crashes import Crash


@dataclass(frozen=True, slots=True)
class Change:
    """One field of status.effective that takes a new value."""

    field: str
    """camelCase, as in the spec."""
    before: str
    after: str
    reason: PoolReason
    effective: Effective
    """All settings after the change."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One remedy: what spec.remediation.allow calls it, and the change it proposes, None when used up."""

    remedy: Remedy
    propose: Callable[[ModelPoolSpec, Effective, Crash], Change | None]


def utilization(spec: ModelPoolSpec, effective: Effective) -> int:
    """Return the percent that servers are started with."""
    now = effective.gpu_memory_utilization
    return spec.gpu_memory_utilization if now is None else now


def lower_utilization(spec: ModelPoolSpec, effective: Effective, _crash: Crash) -> Change | None:
    """Propose one step less of gpuMemoryUtilization, never below its minimum."""
    bounds = spec.remediation.gpu_memory_utilization
    now = utilization(spec, effective)
    lower = max(bounds.min, now - bounds.step)
    if lower >= now:
        return None
    after = effective.model_copy(update={"gpu_memory_utilization": lower})
    return Change(
        "gpuMemoryUtilization", str(now), str(lower), PoolReason.GPU_MEMORY_UTILIZATION_LOWERED, effective=after
    )


_LOWER_UTILIZATION = Rung(Remedy.GPU_MEMORY_UTILIZATION, lower_utilization)

# Lowering helps where the KV cache is already sized, and is the user's wish where the log does not tell the phase.
LADDER: Mapping[str, tuple[Rung, ...]] = {
    "CAPTURE_OOM": (_LOWER_UTILIZATION,),
    "RUN_OOM": (_LOWER_UTILIZATION,),
    "CUDA_OOM": (_LOWER_UTILIZATION,),
}
