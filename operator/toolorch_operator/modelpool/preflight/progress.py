"""Whether a server that answers /health still works: tokens must move while requests run. PURE."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

_RUNNING = "vllm:num_requests_running"
# The last moves at every step of an engine, also where a step finishes neither a prompt nor a token.
_COUNTERS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:iteration_tokens_total_count")


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at /metrics, summed over a server's engines."""

    running: float
    """Requests that the engines work on."""
    counters: tuple[float, ...]
    """Tokens and steps since the start; what a server does not count stays 0."""


@dataclass(frozen=True, slots=True)
class ProgressNote:
    """What is remembered of a server between looks; times are seconds of one clock."""

    latest: Progress
    seen: float
    """When it was looked at."""
    moved: float
    """When it last moved or had nothing to do."""

    @property
    def stalled_seconds(self) -> float:
        """For how long requests have run without any counter moving."""
        return self.seen - self.moved


def parse_progress(text: str) -> Progress | None:
    """Return what a text in Prometheus' format tells of the engines; None where it tells nothing of them."""
    sums: defaultdict[str, float] = defaultdict(float)
    for line in text.splitlines():
        name, brace, rest = line.partition("{")
        value = rest.rpartition("}")[2]
        if not brace:
            name, _, value = line.partition(" ")
        if name == _RUNNING or name in _COUNTERS:
            sums[name] += _number(value)
    if _RUNNING not in sums or not sums.keys() & set(_COUNTERS):
        return None
    return Progress(sums[_RUNNING], tuple(sums[name] for name in _COUNTERS))


def note_progress(note: ProgressNote | None, sample: Progress, now: float) -> ProgressNote:
    """Return what to remember after a look; a counter that fell has moved: the server has restarted."""
    is_stuck = note is not None and note.latest.running > 0 and sample.running > 0
    if note is None or not is_stuck or sample.counters != note.latest.counters:
        return ProgressNote(sample, now, now)
    return ProgressNote(sample, now, note.moved)


def _number(text: str) -> float:
    """Return a sample's value; a time may follow it."""
    try:
        return float(text.split()[0])
    except (IndexError, ValueError):
        return 0.0
