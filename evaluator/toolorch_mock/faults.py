"""The mock's faults: what the environment asks for, and which request a fault falls upon.

Choices are functions of the request's identity, so that a run with faults can be repeated and predicted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

OOM_ABOVE_UTILIZATION = "MOCK_OOM_ABOVE_UTILIZATION"
START_SECONDS = "MOCK_START_SECONDS"
LATENCY_MS = "MOCK_LATENCY_MS"
ERROR_PERCENT = "MOCK_ERROR_PERCENT"
HANG_PERCENT = "MOCK_HANG_PERCENT"

DEFAULT_START_SECONDS = 0.2
# A day: longer waits are a typing error.
_MAX_SECONDS = 86400.0


class BadFaultError(ValueError):
    """A fault variable with a value that means nothing; the message names the variable and what is allowed."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """All faults of one server, read once."""

    oom_above_utilization: float | None = None
    """Percent; above it the engine dies of CUDA memory while it captures graphs."""
    start_seconds: float = DEFAULT_START_SECONDS
    latency_ms: float = 0
    error_percent: float = 0
    """Of tries: each try of a request is drawn anew, so a retry may succeed."""
    hang_percent: float = 0
    """Of requests: their first try is never answered, a second one is."""

    @property
    def falls_on_requests(self) -> bool:
        """Whether a request's identity and tries matter at all."""
        return bool(self.error_percent or self.hang_percent)

    def dies_at(self, utilization: float) -> bool:
        """Whether an engine with this gpu-memory-utilization (0-1) runs out of memory."""
        # Rounded: 0.88 * 100 is 88.00000000000001 in binary.
        return self.oom_above_utilization is not None and round(utilization * 100, 6) > self.oom_above_utilization


class Fate(Enum):
    """What becomes of one try of a request."""

    ANSWER = "answer"
    ERROR = "error"
    HANG = "hang"


def parse_faults(environment: Mapping[str, str]) -> FaultSettings:
    """Read the fault variables; raises BadFaultError."""
    above = environment.get(OOM_ABOVE_UTILIZATION, "").strip()
    return FaultSettings(
        oom_above_utilization=_number(environment, OOM_ABOVE_UTILIZATION, 0, 100) if above else None,
        start_seconds=_number(environment, START_SECONDS, DEFAULT_START_SECONDS, _MAX_SECONDS),
        latency_ms=_number(environment, LATENCY_MS, 0, _MAX_SECONDS * 1000),
        error_percent=_number(environment, ERROR_PERCENT, 0, 100),
        hang_percent=_number(environment, HANG_PERCENT, 0, 100),
    )


def _number(environment: Mapping[str, str], name: str, default: float, maximum: float) -> float:
    text = environment.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= maximum:
        raise BadFaultError(f"{name} is {text!r}; a number from 0 to {maximum:.0f} is allowed.")
    return value


def percentile(text: str) -> float:
    """Map a text to a stable number in [0, 100), evenly spread."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32 * 100


def choose_fate(faults: FaultSettings, request_id: str, attempt: int) -> Fate:
    """Choose what becomes of the try number `attempt` (from 1) of a request."""
    if attempt == 1 and percentile(f"hang {request_id}") < faults.hang_percent:
        return Fate.HANG
    if percentile(f"error {request_id} {attempt}") < faults.error_percent:
        return Fate.ERROR
    return Fate.ANSWER
