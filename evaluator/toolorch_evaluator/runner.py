"""The shard loop: units from the shared queue, so many at a time as the spec says now; drain when told to.

How many at a time may change while the shard runs: more lanes are opened, or lanes close as their units end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, cast

import structlog

from toolorch_api.keys import profile_key, result_key
from toolorch_api.shard import ExitCode
from toolorch_evaluator.caution import Solitude
from toolorch_evaluator.claims import ClaimQueue
from toolorch_evaluator.drain import GRACE_SECONDS, LAST_WORDS_SECONDS, in_time, say_last
from toolorch_evaluator.exits import StorageError
from toolorch_evaluator.held import Turn
from toolorch_evaluator.last_word import RunningUnits
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.progress import ProgressWriter
from toolorch_evaluator.results import Results
from toolorch_evaluator.stored import RefusedResultError, parse_result
from toolorch_evaluator.tally import Ended, Tally

log = structlog.get_logger(__name__)

# Between looks at how many units may run at once: a file's time stamp; the kubelet renews it about once a minute.
WIDTH_SECONDS = 5.0


class Conducts(Protocol):
    """Brings one unit to its end and stores how it ended."""

    async def conduct(self, turn: Turn) -> Ended:
        """Raise StorageError where the end cannot be stored."""
        ...


@dataclass(slots=True)
class Shard:
    """A shard at work."""

    conductor: Conducts
    queue: ClaimQueue
    results: Results
    tally: Tally
    progress: ProgressWriter
    profile: Profile
    named: RunningUnits
    stop: asyncio.Event
    """Set by SIGTERM: begin nothing more."""
    width: Callable[[], int]
    """Units that may run at once, as of now."""
    grace: float = GRACE_SECONDS
    _lanes: set[asyncio.Task[None]] = field(default_factory=set)
    _solitude: Solitude = field(default_factory=Solitude)
    _asking: int = 0
    """Lanes that wait for a unit."""

    async def run(self) -> ExitCode:
        """Run units until none is left for this shard, or as many as SIGTERM leaves time for; raises StorageError."""
        try:
            await in_time(self._take_up(), self.stop, 0)
        except TimeoutError:
            # Progress is not told: this pod does not know yet what the shard's earlier ones have done.
            await say_last({"left": self.queue.leave(finished=False)}, self.stop, finished=False)
            return ExitCode.DRAINED
        log.info("shard_begins", share=self.tally.total, ended=self.tally.ended)
        finished = False
        try:
            async with self.progress.writing():
                finished = await self._work()
        finally:
            self.named.clear()
            await self._end(finished)
        log.info("shard_ends", ended=self.tally.ended, share=self.tally.total, finished=finished)
        return ExitCode.OK if finished else ExitCode.DRAINED

    async def _take_up(self) -> None:
        """Go on where earlier pods of this shard stopped; costs few requests where there was none."""
        await self.queue.prepare()
        if not await self.progress.resume():
            return
        ended = map(self.queue.held.manifest.unit, await self.queue.inherit())
        units = {result_key(unit): unit for unit in ended}
        async for key, body in self.results.get_all(units):
            try:
                result = parse_result(body, units[key], self.tally.spec_hash)
                self.tally.add(Ended(result, here=False), result.ended_at)
            except RefusedResultError as error:
                log.warning("result_refused", key=key, why=str(error))

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
        while await self._take_turn():
            pass

    async def _take_turn(self) -> bool:
        """Run the next unit, alone where it must be; False: there is none for this lane."""
        with contextlib.ExitStack() as inside:
            self._asking += 1
            try:
                await self._solitude.door.acquire()
            finally:
                self._asking -= 1
            try:
                turn = await self._next()
                if turn is None:
                    return False
                if turn.alone:
                    await self._solitude.wait_empty()
                    if not self.stop.is_set():
                        await self._run_unit(turn)
                    return True
                inside.enter_context(self._solitude.enter())
            finally:
                self._solitude.door.release()
            await self._run_unit(turn)
            return True

    async def _run_unit(self, turn: Turn) -> None:
        self.named.begin(turn.index)
        self.tally.running += 1
        self.progress.touch()
        try:
            ended = await self.conductor.conduct(turn)
            self.tally.add(ended, datetime.now(UTC))
        finally:
            self.named.end(turn.index)
            self.tally.running -= 1
            self.progress.touch()
        how = ended.result
        log.info("unit_ended", unit=turn.unit.key, status=how.status, cause=how.cause, why=how.message[:200])

    async def _next(self) -> Turn | None:
        if len(self._lanes) > self.width():
            # Out of the count at once, or all lanes would leave together.
            self._lanes.discard(cast("asyncio.Task[None]", asyncio.current_task()))
            return None
        return await self.queue.next(lambda: 1 + self._asking, self._solitude.is_empty)

    async def _end(self, finished: bool) -> None:
        """Say how far the shard is, and what becomes of what it has claimed."""
        words = {"left": self.queue.leave(finished), "profile": self._keep_profile()}
        if not self.queue.replaced:
            words["progress"] = self.progress.write(finished)
        await say_last(words, self.stop, finished)

    async def _keep_profile(self) -> None:
        """Store the calls' events: evidence, which no end is held up for."""
        if not self.profile.count:
            return
        key = profile_key(self.tally.attempt, self.tally.shard, self.tally.pod)
        try:
            await self.results.put(key, self.profile.close(), LAST_WORDS_SECONDS)
        except StorageError as error:
            log.warning("profile_unwritten", error=error.message)
