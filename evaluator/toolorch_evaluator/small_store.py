"""A run's folder, read where others may have written: objects up to a size, packed ones also up to their content's."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import structlog
import zstandard

from toolorch_api.keys import CLAIMS_PREFIX, DEATHS_PREFIX, ERRORS_PREFIX, PROGRESS_PREFIX, RESULTS_PREFIX
from toolorch_evaluator.results import Store

log = structlog.get_logger(__name__)

# The manifest of 100,000 units and the packed events of a million calls have tens of MB.
MOST_BYTES = 64 * 1024 * 1024
# Results and what shards tell each other have kilobytes, and dozens of them are read at once.
SMALL = (RESULTS_PREFIX, ERRORS_PREFIX, PROGRESS_PREFIX, CLAIMS_PREFIX, DEATHS_PREFIX)
MOST_SMALL_BYTES = 1024 * 1024
# Of a transcript: the longest conversations have some MB, and a page of zeros packs a thousand times smaller.
MOST_UNPACKED_BYTES = 256 * 1024 * 1024
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SmallStore:
    """A store in which an object that is too large reads as empty, which nothing that toolorch writes is."""

    store: Store

    async def put_async(self, path: str, file: bytes, *, mode: Any = None, use_multipart: bool | None = None) -> Any:
        """Write an object."""
        return await self.store.put_async(path, file, mode=mode, use_multipart=use_multipart)

    async def get_async(self, path: str) -> Any:
        """Read an object."""
        answer = await self.store.get_async(path)
        if answer.meta["size"] <= (MOST_SMALL_BYTES if path.startswith(SMALL) else MOST_BYTES):
            return answer
        log.warning("object_too_large", key=path, size=answer.meta["size"])
        return _Empty()

    def list(self, prefix: str | None = None, *, chunk_size: int = 50) -> Any:
        """List objects by prefix."""
        return self.store.list(prefix, chunk_size=chunk_size)


class _Empty:
    async def bytes_async(self) -> bytes:
        return b""


def unpack_bytes(body: bytes, most: int = MOST_UNPACKED_BYTES) -> bytes:
    """Return what a zstd frame holds; raises ZstdError where it is damaged, ValueError where it holds more."""
    found = io.BytesIO()
    with zstandard.ZstdDecompressor().stream_reader(body) as stream:
        while piece := stream.read(_PIECE):
            if found.tell() + len(piece) > most:
                raise ValueError(f"more than {most} bytes when unpacked")
            found.write(piece)
    return found.getvalue()
