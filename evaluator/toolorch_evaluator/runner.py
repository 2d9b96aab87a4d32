"""The shard loop: units from the shared queue, so many at a time as the spec says now; drain when told to.

How many at a time may change while the shard runs: more lanes are opened, or lanes close as their units end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import structlog

from toolorch_api.keys import profile_key, result_key, transcript_key
from toolorch_api.shard import ExitCode, Result, Unit
from toolorch_evaluator.claims import ClaimQueue
from toolorch_evaluator.exits import StorageError
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.progress import ProgressWriter
from toolorch_evaluator.results import Results
from toolorch_evaluator.tally import Tally

log = structlog.get_logger(__name__)

# Kubernetes gives a pod 30 s after SIGTERM; what is left of them is for the last writes.
GRACE_SECONDS = 20.0
# The profile is evidence, not result: an end is not held up for it.
PROFILE_PATIENCE = 5.0
LAST_WORD_PATIENCE = 5.0
# Between looks at how many units may run at once: a file's time stamp; the kubelet renews it about once a minute.
WIDTH_SECONDS = 5.0


class Conducts(Protocol):
    """Brings one unit to its end and stores how it ended."""

    async def conduct(self, unit: Unit, has_transcript: bool) -> Result:
        """Raise StorageError where the end cannot be stored."""
        ...


@dataclass(slots=True)
class Shard:
    """A shard at work."""

    conductor: Conducts
    queue: ClaimQueue
    talked: set[str]
    """Keys of the transcripts that were there at the start."""
    results: Results
    tally: Tally
    progress: ProgressWriter
    profile: Profile
    stop: asyncio.Event
    """Set by SIGTERM: begin nothing more."""
    width: Callable[[], int]
    """Units that may run at once, as of now."""
    grace: float = GRACE_SECONDS
    _lanes: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> ExitCode:
        """Run units until none is left for this shard, or as many as SIGTERM leaves time for; raises StorageError."""
        await self._count(await self.queue.inherit())
        log.info("shard_begins", share=self.tally.total, ended=self.tally.ended)
        finished = False
        try:
            async with self.progress.writing():
                finished = await self._work()
        finally:
            # Only a finished shard's last word is worth a long wait: any other shard is looked for in the results.
            patience = None if finished else LAST_WORD_PATIENCE
            words = (self.progress.write(finished, patience), self.queue.leave(finished, patience))
            await asyncio.gather(*words, self._keep_profile())
        log.info("shard_ends", ended=self.tally.ended, share=self.tally.total, finished=finished)
        return ExitCode.OK if finished else ExitCode.DRAINED

    async def _count(self, ended: Sequence[Unit]) -> None:
        """Count what an earlier pod of this shard ended; costs requests only after a restart."""
        async for _, body in self.results.get_all(map(result_key, ended)):
            self.tally.add(Result.model_validate_json(body))

    async def _work(self) -> bool:
        """Work until every lane has run dry, or drain; return whether it was the former."""
        self._open_lanes()
        drain, clock = asyncio.create_task(self._drain()), asyncio.get_running_loop()
        due = clock.time() + WIDTH_SECONDS
        try:
            while self._lanes:
                ended, _ = await asyncio.wait(self._lanes, timeout=WIDTH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._lanes -= ended
                for lane in ended:
                    if not lane.cancelled():
                        lane.result()
                if clock.time() >= due:
                    self._open_lanes()
                    due = clock.time() + WIDTH_SECONDS
        finally:
            for task in (*self._lanes, drain):
                task.cancel()
            await asyncio.gather(*self._lanes, drain, return_exceptions=True)
        return not self.stop.is_set()

    def _open_lanes(self) -> None:
        while len(self._lanes) < self.width() and not self.stop.is_set():
            self._lanes.add(asyncio.create_task(self._lane()))

    async def _drain(self) -> None:
        """Once told to stop, give running units their time, then give them back."""
        await self.stop.wait()
        log.info("shard_drains", running=self.tally.running, grace=self.grace)
        await asyncio.sleep(self.grace)
        for lane in self._lanes:
            lane.cancel()

    async def _lane(self) -> None:
        while (unit := await self._next()) is not None:
            self.tally.running += 1
            self.progress.touch()
            try:
                talked = transcript_key(unit) in self.talked or unit in self.queue.taken_over
                result = await self.conductor.conduct(unit, talked)
                self.tally.add(result)
            finally:
                self.tally.running -= 1
                self.progress.touch()
            log.info("unit_ended", unit=unit.key, status=result.status, cause=result.cause, why=result.message[:200])

    async def _next(self) -> Unit | None:
        if len(self._lanes) > self.width():
            # Out of the count at once, or all lanes would leave together.
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            return None
        return await self.queue.next()

    async def _keep_profile(self) -> None:
        if not self.profile.count:
            return
        key = profile_key(self.tally.attempt, self.tally.shard)
        try:
            await self.results.put(key, self.profile.close(), PROFILE_PATIENCE)
        except StorageError as error:
            log.warning("profile_unwritten", error=error.message)
