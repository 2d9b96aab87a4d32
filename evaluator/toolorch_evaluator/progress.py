"""A shard's progress object, overwritten: after changes, now and then as a sign of life, and at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import structlog
from pydantic import ValidationError

from toolorch_api.keys import progress_key
from toolorch_api.shard import Progress
from toolorch_evaluator.drain import BEAT_SECONDS
from toolorch_evaluator.exits import StorageError
from toolorch_evaluator.results import Results
from toolorch_evaluator.tally import Tally

log = structlog.get_logger(__name__)

# The operator looks every few seconds; more than one write a second would tell nobody anything.
SHORTEST_SECONDS = 1.0
HEARTBEAT_SECONDS = 10.0


class ProgressWriter:
    """Writes a tally while its shard works."""

    def __init__(
        self,
        results: Results,
        tally: Tally,
        shortest: float = SHORTEST_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._results = results
        self._tally = tally
        self._shortest = shortest
        self._heartbeat = heartbeat
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()

    def touch(self) -> None:
        """Say that the tally changed."""
        self._changed.set()

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write while the block runs, once before it.

        A shard is heard of before it claims anything: others tell by this object whether its claims still hold. A write
        under way at the end is awaited, so that the last word is the last; but not for long, since it may hang.
        """
        await self._try()
        beat = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            self._ending.set()
            self._changed.set()
            await asyncio.wait([beat], timeout=BEAT_SECONDS)
            beat.result() if beat.done() else beat.cancel()

    async def resume(self) -> bool:
        """Go on from what an earlier pod of this shard told; False: there was none."""
        body = await self._results.get(progress_key(self._tally.attempt, self._tally.shard))
        with contextlib.suppress(ValidationError):
            if body is not None:
                self._tally.resume(Progress.model_validate_json(body))
        return body is not None

    async def write(self, finished: bool, patience: float | None = None) -> None:
        """Write the progress object now."""
        self._tally.open_files = max(self._tally.open_files, count_open_files())
        body = self._tally.progress(datetime.now(UTC), finished).model_dump_json(by_alias=True).encode()
        await self._results.put(progress_key(self._tally.attempt, self._tally.shard), body, patience)

    async def _beat(self) -> None:
        while not self._ending.is_set():
            await first_of(self._ending, self._shortest)
            await first_of(self._changed, self._heartbeat - self._shortest)
            if not self._ending.is_set():
                await self._try()

    async def _try(self) -> None:
        self._changed.clear()
        try:
            # One try: the next beat says more than a repetition of this one, and a hung one must not replace it.
            async with asyncio.timeout(self._heartbeat):
                await self.write(finished=False, patience=0)
        except StorageError as error:
            log.warning("progress_unwritten", error=error.message)
        except TimeoutError:
            log.warning("progress_unwritten", error="storage gave no answer")


def count_open_files() -> int:
    """Return how many file descriptors this process has open; 0 where the system does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


async def first_of(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set or the seconds are over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
