"""The shard loop: skip what is finished, work on so many units at a time, drain when told to, say how far it is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from toolorch_api.keys import RESULTS_PREFIX, TRANSCRIPTS_PREFIX, profile_key, result_key, transcript_key
from toolorch_api.shard import ExitCode, Result, Unit
from toolorch_evaluator.conduct import Conductor
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


@dataclass(slots=True)
class Shard:
    """A shard at work."""

    units: Sequence[Unit]
    conductor: Conductor
    results: Results
    tally: Tally
    progress: ProgressWriter
    profile: Profile
    stop: asyncio.Event
    """Set by SIGTERM: begin nothing more."""
    grace: float = GRACE_SECONDS

    async def run(self) -> ExitCode:
        """Bring all units to their end, or as many as SIGTERM leaves time for; raises StorageError."""
        done = set(await self.results.list_keys(RESULTS_PREFIX))
        talked = set(await self.results.list_keys(TRANSCRIPTS_PREFIX))
        await self._count([u for u in self.units if result_key(u) in done])
        missing = [u for u in self.units if result_key(u) not in done]
        log.info("shard_begins", units=len(self.units), missing=len(missing))
        try:
            async with self.progress.writing():
                await self._work(deque(missing), talked)
        finally:
            finished = self.tally.ended == self.tally.total
            # Only a finished shard's last word is worth a long wait: any other shard is looked for in the results.
            patience = None if finished else LAST_WORD_PATIENCE
            await asyncio.gather(self.progress.write(finished, patience), self._keep_profile())
        log.info("shard_ends", ended=self.tally.ended, total=self.tally.total, finished=finished)
        return ExitCode.OK if finished else ExitCode.DRAINED

    async def _count(self, finished: Sequence[Unit]) -> None:
        """Count what an earlier pod of this shard finished; costs requests only after a restart."""
        async for _, body in self.results.get_all(map(result_key, finished)):
            self.tally.add(Result.model_validate_json(body))

    async def _work(self, missing: deque[Unit], talked: set[str]) -> None:
        width = min(self.conductor.run.spec.concurrency_per_shard, len(missing))
        lanes = [asyncio.create_task(self._lane(missing, talked)) for _ in range(width)]
        drain = asyncio.create_task(self._drain(lanes))
        try:
            await asyncio.gather(*lanes)
        except asyncio.CancelledError:
            if not self.stop.is_set():
                raise  # somebody else's cancellation, not the drain's
        finally:
            for task in (*lanes, drain):
                task.cancel()
            await asyncio.gather(*lanes, drain, return_exceptions=True)

    async def _drain(self, lanes: Sequence[asyncio.Task[None]]) -> None:
        """Once told to stop, give running units their time, then give them back."""
        await self.stop.wait()
        log.info("shard_drains", running=self.tally.running, grace=self.grace)
        await asyncio.wait(lanes, timeout=self.grace)
        for lane in lanes:
            lane.cancel()

    async def _lane(self, missing: deque[Unit], talked: set[str]) -> None:
        while missing and not self.stop.is_set():
            unit = missing.popleft()
            self.tally.running += 1
            self.progress.touch()
            try:
                result = await self.conductor.conduct(unit, transcript_key(unit) in talked)
                self.tally.add(result)
            finally:
                self.tally.running -= 1
                self.progress.touch()
            log.info("unit_ended", unit=unit.key, status=result.status, cause=result.cause, why=result.message[:200])

    async def _keep_profile(self) -> None:
        if not self.profile.count:
            return
        key = profile_key(self.tally.attempt, self.tally.shard)
        try:
            await self.results.put(key, self.profile.close(), PROFILE_PATIENCE)
        except StorageError as error:
            log.warning("profile_unwritten", error=error.message)
