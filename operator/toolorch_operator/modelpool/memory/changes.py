"""What a remedy decides on, a crash under the settings that hold, and what it proposes: one field's new value. PURE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolorch_api.modelpool import ModelPoolSpec, Remedy
from toolorch_api.modelpool_status import Effective, Ladder
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.memory.crashes import Crash

RESTART = "Restart"
"""What stands for a remedy in status.ladder.steps where a server is started again as it was."""


@dataclass(frozen=True, slots=True)
class Situation:
    """A crash, and where the ladder stands with this crash's verdict taken into account."""

    spec: ModelPoolSpec
    ladder: Ladder
    effective: Effective
    crash: Crash

    @property
    def percent(self) -> int:
        """Utilization that servers are started with."""
        return utilization(self.spec, self.effective)

    def steps(self, remedy: str) -> int:
        """Return how often a remedy was taken against this crash's class."""
        return self.ladder.steps.get(step_key(self.crash, remedy), 0)


@dataclass(frozen=True, slots=True)
class Change:
    """One field of status.effective that takes a new value."""

    field: str
    """camelCase, as in the spec; `restart` where no field changes."""
    before: str
    after: str
    reason: PoolReason
    effective: Effective
    """All settings after the change."""


Proposal = Callable[[Situation], Change | None]
"""Proposes a change, or None where the remedy is used up."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One remedy: what spec.remediation.allow calls it, what it proposes, and how often it may against one class."""

    remedy: Remedy | None
    """None: it needs nobody's leave."""
    propose: Proposal
    times: int | None = None
    """None: as often as it finds something to propose."""

    def proposal(self, situation: Situation) -> Change | None:
        """Return what it proposes, or None where it is used up."""
        is_used_up = self.times is not None and situation.steps(self.remedy or RESTART) >= self.times
        return None if is_used_up else self.propose(situation)


def step_key(crash: Crash, remedy: str) -> str:
    """Return the key of a remedy against a crash's class in status.ladder.steps."""
    return f"{crash.signature}/{remedy}"


def utilization(spec: ModelPoolSpec, effective: Effective) -> int:
    """Return the percent that servers are started with."""
    now = effective.gpu_memory_utilization
    return spec.gpu_memory_utilization if now is None else now


def with_setting(effective: Effective, **setting: Any) -> Effective:
    """Return the settings with one of them changed."""
    return effective.model_copy(update=setting)
