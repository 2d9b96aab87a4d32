"""The environment variables that ask for faults; docs/mock.md has a table of them."""

from __future__ import annotations

from collections.abc import Mapping

from toolorch_mock.dialect import TOOL_FORMATS
from toolorch_mock.faults import DEFAULT_START_SECONDS, Crash, FaultSettings
from toolorch_mock.memory import Gpu

ERROR_PERCENT = "MOCK_ERROR_PERCENT"

# A day: longer waits are a typing error.
_MAX_SECONDS = 86400.0
# Beyond any GPU, any token's cache, any container and any count of requests that a test would wait for.
_MAX_GIB = 1024.0
_MAX_KIB = 2**20
_MAX_MIB = 2**20
_MAX_COUNT = 10**9


class BadFaultError(ValueError):
    """A fault variable with a value that means nothing; the message names the variable and what is allowed."""


class _Variables:
    """The environment, read by name; raises BadFaultError."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str) -> str:
        return self._environment.get(name, "").strip()

    def number(self, name: str, default: float, maximum: float) -> float:
        found = self.optional(name, maximum)
        return default if found is None else found

    def optional(self, name: str, maximum: float) -> float | None:
        text = self.text(name)
        value = _float(text) if text else None
        if value is not None and not 0 <= value <= maximum:
            raise BadFaultError(f"{name} is {text!r}; a number from 0 to {maximum:.0f} is allowed.")
        return value

    def count(self, name: str, maximum: int = _MAX_COUNT) -> int | None:
        text = self.text(name)
        if text and not (text.isascii() and text.isdigit() and int(text) <= maximum):
            raise BadFaultError(f"{name} is {text!r}; a whole number from 0 to {maximum} is allowed.")
        return int(text) if text else None

    def choice(self, name: str, allowed: list[str]) -> str:
        text = self.text(name)
        if text and text not in allowed:
            raise BadFaultError(f"{name} is {text!r}; one of {', '.join(allowed)} is allowed.")
        return text


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1


def parse_faults(environment: Mapping[str, str]) -> FaultSettings:
    """Read the fault variables; raises BadFaultError."""
    read = _Variables(environment)
    crash = read.choice("MOCK_CRASH", list(Crash))
    return FaultSettings(
        oom_above_utilization=read.optional("MOCK_OOM_ABOVE_UTILIZATION", 100),
        start_seconds=read.number("MOCK_START_SECONDS", DEFAULT_START_SECONDS, _MAX_SECONDS),
        latency_ms=read.number("MOCK_LATENCY_MS", 0, _MAX_SECONDS * 1000),
        error_percent=read.number(ERROR_PERCENT, 0, 100),
        hang_percent=read.number("MOCK_HANG_PERCENT", 0, 100),
        crash=Crash(crash) if crash else None,
        max_seqs=read.count("MOCK_MAX_SEQS"),
        max_batched_tokens=read.count("MOCK_MAX_BATCHED_TOKENS"),
        gpu=_parse_gpu(read),
        race_starts=read.count("MOCK_RACE_STARTS") or 0,
        host_memory_mib=read.count("MOCK_HOST_MEMORY_MIB", _MAX_MIB) or 0,
        run_oom_after_requests=read.count("MOCK_RUN_OOM_AFTER_REQUESTS"),
        hangs_after_requests=read.count("MOCK_ENGINE_HANGS_AFTER_REQUESTS"),
        served_name=read.text("MOCK_SERVED_NAME"),
        tool_format=read.choice("MOCK_TOOL_FORMAT", list(TOOL_FORMATS)),
        flood_unit=read.text("MOCK_FLOOD_UNIT"),
        flood_mib=read.count("MOCK_FLOOD_MIB", _MAX_MIB) or 0,
    )


def _parse_gpu(read: _Variables) -> Gpu:
    usual = Gpu()
    total, weights = read.optional("MOCK_GPU_GIB", _MAX_GIB), read.optional("MOCK_WEIGHTS_GIB", _MAX_GIB)
    per_token = read.optional("MOCK_KV_KIB_PER_TOKEN", _MAX_KIB)
    if per_token == 0:
        raise BadFaultError("MOCK_KV_KIB_PER_TOKEN is '0'; a token needs some memory.")
    return Gpu(
        total_gib=usual.total_gib if total is None else total,
        weights_gib=usual.weights_gib if weights is None else weights,
        kv_kib_per_token=per_token or usual.kv_kib_per_token,
        is_limited=any(size is not None for size in (total, weights, per_token)),
        free_gib=read.optional("MOCK_FREE_GIB", _MAX_GIB),
    )
