"""From a container's end to a crash with a class: what the launcher wrote, or what the exit itself says. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise

from toolorch_operator.modelpool.command import parse_utilization
from toolorch_operator.modelpool.pods import PodView, Termination
from toolorch_operator.raw import parse_object

NO_CLASS = "NONE"
HOST_OOM = "HOST_OOM"

# A container that was told to go ends so: the exit code of SIGTERM, of SIGINT, or none at all.
_STOPPED = (0, 130, 143)
_MESSAGE_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers that the server's last words hold; None: not told. Memory is in GiB."""

    free: float | None = None
    """Free memory of the GPU at the start."""
    total: float | None = None
    """Memory of the GPU."""
    need: float | None = None
    """What the KV cache needs; for class CPU the fraction of memory that is too small."""
    avail: float | None = None
    """What is left for the KV cache."""
    want: float | None = None
    """What the utilization asks for."""
    est: float | None = None
    """Longest context that fits, in tokens."""
    mml: float | None = None
    """Context length of the model or of its settings, in tokens."""
    seqs: float | None = None
    """Sequences: of MAMBA the most that fit, of SAMPLER_OOM those that did not."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a server was started with; None: vLLM's own."""

    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Crash:
    """One crash of one replica, identified by pod and start."""

    key: str
    """Pod UID and restart count: no crash is counted twice."""
    instance: str
    signature: str
    """Class that the launcher found, such as CAPTURE_OOM; NONE where nothing matched."""
    exit_code: int
    utilization: int | None = None
    """Percent that the server was started with."""
    spec_hash: str = ""
    """Hash of the memory-related spec that the pod was built from."""
    message: str = ""
    """The line that gave the class, shortened."""
    phase: str = ""
    """How far the start had come, P0 to P4; P4: it served. Empty: not known."""
    figures: Figures = Figures()
    limits: Limits | None = None
    """None: its command is not known."""
    template: str = ""
    """Hash of the whole template that the pod was built from; empty: not known."""
    seconds: float | None = None
    """From the pod's creation to its first end; None for later ends, or where one of them is not known."""

    @property
    def run(self) -> int:
        """How often the container had been started before, within its pod."""
        tail = self.key.rpartition("/")[2]
        return int(tail) if tail.isdecimal() else 0


def parse_crashes(pods: Sequence[PodView]) -> list[Crash]:
    """Return every crash that the pods remember, ordered by replica and start."""
    ordered = sorted(pods, key=lambda p: (p.instance, p.created, p.uid))
    found = ((pod, _parse_crash(pod, end)) for pod in ordered for end in pod.terminations)
    return [crash for pod, crash in found if not _was_stopped(pod, crash)]


def last_crash(pod: PodView) -> Crash | None:
    """Return the newest crash of a pod, or None."""
    crashes = parse_crashes([pod])
    return crashes[-1] if crashes else None


def _was_stopped(pod: PodView, crash: Crash) -> bool:
    # A server that is told to go and takes too long is killed, which looks like the kernel's kill.
    return pod.deleting and (crash.exit_code in _STOPPED or crash.signature == HOST_OOM)


def _parse_crash(pod: PodView, end: Termination) -> Crash:
    report = parse_object(end.message)
    signature = HOST_OOM if end.reason == "OOMKilled" else str(report.get("class") or NO_CLASS)
    told = parse_utilization(pod.command)
    return Crash(
        key=f"{pod.uid}/{end.run}",
        instance=pod.instance,
        signature=signature[:63],
        exit_code=end.exit_code,
        utilization=_percent(report.get("gmu")) if told is None else told,
        spec_hash=pod.spec_hash,
        message=str(report.get("msg") or end.reason or "")[:_MESSAGE_CHARACTERS],
        phase=str(report.get("phase") or "")[:2],
        figures=Figures(**{f.name: _amount(report.get(f.name)) for f in fields(Figures)}),
        limits=None if told is None else parse_limits(pod.command),
        template=pod.template,
        seconds=_elapsed(pod.created, end.finished) if end.run == 0 else None,
    )


def parse_limits(command: Sequence[str]) -> Limits:
    """Return the limits that a server's command sets."""
    told = {name: int(value) for name, value in pairwise(command) if value.isdecimal()}
    return Limits(*(told.get(name) for name in ("--max-model-len", "--max-num-seqs", "--max-num-batched-tokens")))


def _percent(fraction: object) -> int | None:
    return round(fraction * 100) if isinstance(fraction, int | float) and 0 < fraction <= 1 else None


# Above it is no amount of anything here, and infinity, which Python's JSON takes, would break what counts on.
_LARGEST_AMOUNT = 1e9
# vLLM prints fewer, and to divide by less than this would leave the range of numbers.
_DECIMALS = 6


def _amount(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_amount = is_number and 0 <= value <= _LARGEST_AMOUNT  # type: ignore[operator]
    return round(float(value), _DECIMALS) if is_amount else None  # type: ignore[arg-type]


def _elapsed(created: str, finished: str) -> float | None:
    try:
        return (datetime.fromisoformat(finished) - datetime.fromisoformat(created)).total_seconds()
    except (ValueError, TypeError):
        return None
