"""Structured events of every model call, as JSON lines: what latency tables, cost and provenance are read from."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import zstandard

# An event takes a few hundred characters; of a longer line only the beginning is read, which is no JSON.
LONGEST_LINE = 100_000


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One model call, with all its tries; holds no text of the conversation."""

    unit: str
    role: str
    n: int
    """Number of the role's call in the unit, from 1."""
    pool: str
    endpoint: str
    """Endpoint of the last try."""
    served: str
    at: str
    """When the call began, ISO 8601 UTC."""
    ms: int
    """The last try alone, to the end of its answer."""
    first_ms: int | None
    """From the last try's request to the first piece of its answer; null where answers are not streamed."""
    waited_ms: int
    """Everything before the last try: endpoints that were not ready, failed tries, pauses."""
    unready_ms: int
    """Of that, the time in which no endpoint was ready."""
    tries: int
    failed: list[str]
    """Cause of each try that failed, in order, the last one's included where the call failed."""
    prompt_tokens: int
    completion_tokens: int
    cut_tokens: int
    """Tokens that the answer was allowed fewer than the spec says, since the conversation left no more."""
    finish_reason: str
    cause: str
    """Empty where the call was answered, and could be read; cut_off where the unit, or its pod, ended before it did."""


class Profile:
    """Events of a shard, compressed as they come, so that a million calls fit in memory."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor().compressobj()
        self._parts: list[bytes] = []
        self.count = 0

    def add(self, event: CallEvent) -> None:
        """Take an event."""
        line = json.dumps(asdict(event), separators=(",", ":")) + "\n"
        if part := self._compressor.compress(line.encode()):
            self._parts.append(part)
        self.count += 1

    def close(self) -> bytes:
        """Return all events as one zstd frame of JSON lines; nothing may be added afterwards."""
        self._parts.append(self._compressor.flush())
        return b"".join(self._parts)


def parse_events(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the events of a stored profile."""
    with zstandard.ZstdDecompressor().stream_reader(body) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8")
        yield from map(json.loads, iter(lambda: text.readline(LONGEST_LINE), ""))
