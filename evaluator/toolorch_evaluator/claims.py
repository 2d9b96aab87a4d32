"""A shard's end of the shared queue: claims of blocks in storage, and what becomes of claims whose holder is gone.

A claim is a create-only object, read back after the write: that tells the holder where the answer to the write was
lost, and settles most races on a store whose create is not atomic. A race that is lost all the same costs a unit run
twice, never a second result: a unit has one key.

What a pod gave back, or whose lease is over (leases.py), is claimed anew as the next generation of its block. A shard
does this when nothing is unclaimed, and when it starts in the place of an earlier pod. That one may still run, on a
node that its cluster has lost sight of: it reads in storage that it was replaced, and begins nothing more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from toolorch_api.keys import (
    PROGRESS_PREFIX,
    RESULTS_PREFIX,
    claim_key,
    finished_key,
    left_key,
    probe_key,
)
from toolorch_api.shard import Claim
from toolorch_evaluator.blocks import Board
from toolorch_evaluator.caution import Caution
from toolorch_evaluator.held import Held, Turn
from toolorch_evaluator.holders import Holders
from toolorch_evaluator.leases import DOUBT_SECONDS, Place, judge_leases
from toolorch_evaluator.progress import first_of
from toolorch_evaluator.results import Results

log = structlog.get_logger(__name__)

# Between looks at a lease in doubt.
LOOK_SECONDS = 5.0
# A shard that found nothing has still lanes at work; as they end, it need not look for each of them.
REST_SECONDS = DOUBT_SECONDS


@dataclass(slots=True)
class ClaimQueue:
    """The units that a shard may begin, one by one."""

    results: Results
    place: Place
    board: Board
    held: Held
    holders: Holders
    caution: Caution
    stop: asyncio.Event
    _settled: set[int] = field(default_factory=set)
    _rests_until: float = 0.0
    _waits_for_idle: bool = False
    """Whether there is what only an idle pod takes."""

    async def next(self, wanted: Callable[[], int], is_idle: bool) -> Turn | None:
        """Return a unit to begin, None where nothing is left for this shard or it is told to stop; one call at a time.

        `wanted`: units that could be begun by now. `is_idle`: whether none runs, so that a suspect need not wait.
        """
        while not self.held and not self.stop.is_set():
            if not await self._claim_more(wanted, is_idle):
                return None
        return None if self.stop.is_set() else self.held.begin()

    async def prepare(self) -> None:
        """Learn what there is to know before the first claim: how storage creates, and what has died of what."""
        await self.results.probe_create(probe_key(self._folder, self.place.pod))
        await self.judge()

    async def inherit(self) -> list[int]:
        """Take over what earlier pods of this shard had claimed; return those of its units that have ended.

        Of suspects only a part: each holds up all that this pod does, so those who run dry are to have the rest.
        """
        await self._look()
        holders = await self.holders.read(self.board.generations)
        mine = {block: c for block, c in holders.items() if c is not None and c.shard == self.place.shard}
        gone = {left_key(self._folder, claim.pod) for claim in mine.values()}
        await asyncio.gather(*(self.results.put(key, self._body()) for key in gone - self.board.left))
        suspected = self._suspected(mine)
        others = set(suspected[-(-len(suspected) // self.board.share.sharers) :])
        await asyncio.gather(*(self._claim(b) for b in sorted(mine.keys() - others) if self._unfinished(b)))
        return [index for block in mine for index in self.held.ended(self._units(block))]

    @property
    def replaced(self) -> bool:
        """Whether another pod has taken this one's place."""
        return left_key(self._folder, self.place.pod) in self.board.left

    async def leave(self, finished: bool) -> None:
        """Tell the others that all of this shard's units have ended, or that it gives back the rest."""
        key = finished_key(self._folder, self.place.shard) if finished else left_key(self._folder, self.place.pod)
        await self.results.put(key, self._body())

    async def _claim_more(self, wanted: Callable[[], int], is_idle: bool) -> bool:
        """Try to hold units; False: there are none left."""
        now = asyncio.get_running_loop().time()
        if now < self._rests_until and not (is_idle and self._waits_for_idle):
            return False
        await self._look()
        if self.replaced:
            log.warning("pod_replaced", pod=self.place.pod)
            self.stop.set()
            return False
        suspected = self._suspected(range(len(self.board.share.blocks)))
        blocks = self.board.choose(wanted(), suspected, is_idle)
        if blocks:
            await asyncio.gather(*map(self._claim, blocks))
            return True
        self._waits_for_idle = not is_idle and not self.board.generations.keys() >= set(suspected)
        if await self._rescue(is_idle):
            # Where one was, there may be more: a rest that began before must not end this shard.
            self._rests_until = 0.0
            return True
        self._rests_until = now + REST_SECONDS
        return False

    async def _look(self) -> None:
        self.board.see(await self.results.list_keys(self._folder))

    async def _claim(self, block: int) -> None:
        """Claim the next generation of a block, and hold its unfinished units if the claim is won."""
        generation = self.board.generations.get(block, -1) + 1
        key = claim_key(self._folder, block, generation)
        won = await self.results.put_new(key, self._body())
        there = await self.results.get(key)
        # A store may not show at once what it took.
        holder = self.holders.take(key, self._body() if there is None and won else there or b"")
        self.board.generations[block] = generation
        if holder is None or (holder.shard, holder.pod) != (self.place.shard, self.place.pod):
            return
        units = self._unfinished(block)
        self.held.add(units, taken_over=generation > 0)
        if generation:
            log.info("block_taken_over", block=block, generation=generation, units=len(units))

    async def judge(self) -> None:
        """See to what is known of deaths by now: what another pod had held may have been its death."""
        await self.caution.look()
        self.held.judge(self.caution.verdict)

    async def _rescue(self, is_idle: bool) -> bool:
        """Claim what a gone holder left; False: nothing is to be had now, and no lease is in doubt."""
        leases = judge_leases(self.board, self.place, await self.results.list_times(PROGRESS_PREFIX))
        blocks = await self.holders.abandoned(set(self.board.generations) - self._settled, leases.lapsed)
        if blocks:
            self.held.done.update(await self.results.list_keys(RESULTS_PREFIX))
            await self.judge()
        for block in blocks:
            if not self._unfinished(block):
                self._settled.add(block)
            elif is_idle or not self._suspected([block]):
                await self._claim(block)
                return True
            else:
                self._waits_for_idle = True
        if leases.in_doubt:
            await first_of(self.stop, LOOK_SECONDS)
        return leases.in_doubt

    def _units(self, block: int) -> Sequence[int]:
        return self.board.share.blocks[block]

    def _suspected(self, blocks: Iterable[int]) -> list[int]:
        """Return the blocks with a suspect that is still to be begun."""
        suspects = self.held.verdict.suspects
        hit = [block for block in blocks if suspects and not suspects.isdisjoint(self._units(block))]
        return sorted(block for block in hit if not suspects.isdisjoint(self._unfinished(block)))

    def _unfinished(self, block: int) -> list[int]:
        return self.held.unfinished(self._units(block))

    def _body(self) -> bytes:
        claim = Claim(spec_hash=self.place.spec_hash, shard=self.place.shard, pod=self.place.pod)
        return claim.model_dump_json(by_alias=True).encode()

    @property
    def _folder(self) -> str:
        return self.board.share.folder
