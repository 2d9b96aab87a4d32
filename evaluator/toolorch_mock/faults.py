"""The mock's faults: what was asked for, and which start or request a fault falls upon.

Choices are functions of the request's identity, so that a run with faults can be repeated and predicted.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from toolorch_mock.arguments import ServeOptions
from toolorch_mock.memory import Gpu

DEFAULT_START_SECONDS = 0.2


class Crash(StrEnum):
    """How a model server dies, one word for each of its texts."""

    FREE_LT = "FREE_LT"
    EXT = "EXT"
    SHM = "SHM"
    CUDA_OOM = "CUDA_OOM"
    """Without any line that tells the phase."""
    NONE = "NONE"
    """Of something that has nothing to do with memory."""
    LOAD_OOM = "LOAD_OOM"
    HOST_OOM = "HOST_OOM"
    PROFILE_OOM = "PROFILE_OOM"
    SAMPLER_OOM = "SAMPLER_OOM"
    RACE = "RACE"
    CPU = "CPU"
    KV_NONE = "KV_NONE"
    KV_SMALL = "KV_SMALL"
    KV_SMALL_V0 = "KV_SMALL_V0"
    AUTOFIT = "AUTOFIT"
    MAMBA = "MAMBA"
    CAPTURE_OOM = "CAPTURE_OOM"
    RUN_OOM = "RUN_OOM"


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """All faults of one server, read once."""

    oom_above_utilization: float | None = None
    """Percent; above it the engine runs out of CUDA memory."""
    start_seconds: float = DEFAULT_START_SECONDS
    latency_ms: float = 0
    error_percent: float = 0
    """Of tries: each try of a request is drawn anew, so a retry may succeed."""
    hang_percent: float = 0
    """Of requests: their first try is never answered, a second one is."""
    crash: Crash | None = None
    """What it dies of: always, or beyond a limit where one is set."""
    max_seqs: int | None = None
    max_batched_tokens: int | None = None
    gpu: Gpu = field(default_factory=Gpu)
    race_starts: int = 0
    """So many first starts die."""
    host_memory_mib: int = 0
    """Held from the loading of weights to the end."""
    run_oom_after_requests: int | None = None
    hangs_after_requests: int | None = None
    served_name: str = ""
    tool_format: str = ""
    """The format in which the model writes tool calls; empty for whatever the server's parser reads."""
    flood_unit: str = ""
    """Key of the unit in which the agent's calls are answered with `flood_mib` of JSON."""
    flood_mib: int = 0

    @property
    def falls_on_requests(self) -> bool:
        """Whether a request's identity and tries matter at all."""
        return bool(self.error_percent or self.hang_percent)

    @property
    def has_limits(self) -> bool:
        """Whether a crash depends on the command line."""
        return any(limit is not None for limit in (self.oom_above_utilization, self.max_seqs, self.max_batched_tokens))

    def exceeded(self, options: ServeOptions) -> Crash | None:
        """Return what an engine with these options dies of, by the first limit that they exceed."""
        if self.max_batched_tokens is not None and options.max_batched_tokens > self.max_batched_tokens:
            return Crash.PROFILE_OOM
        if self.max_seqs is not None and options.max_seqs > self.max_seqs:
            return Crash.SAMPLER_OOM
        # Rounded: 0.88 * 100 is 88.00000000000001 in binary.
        above = self.oom_above_utilization
        if above is not None and round(options.utilization * 100, 6) > above:
            return Crash.CAPTURE_OOM if self.run_oom_after_requests is None else Crash.RUN_OOM
        return None


class Fate(Enum):
    """What becomes of one try of a request."""

    ANSWER = "answer"
    ERROR = "error"
    HANG = "hang"


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
