"""The order of work: units cut into blocks, longest expected first, and which block a shard takes next. No I/O.

All shards of an attempt share one queue. What makes a run end late is a long unit begun last, and a slow shard; both
are cured when every unit is begun in the order of expected length by whoever is free. One request per unit would be too
dear, so units are claimed in blocks, each a fixed part of the work that is left when it is cut: large at first, single
units at the end, where sharing matters. Their number grows with the shards, and with the logarithm of the units.

Every shard cuts the same blocks from the same manifest and assignment, so a number names a block.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from toolorch_api.keys import claim_key, claims_folder

# Shards that share a queue. More of them balance no better, and a look at the claims stays one page of a listing.
GROUP = 32
# Blocks that a shard would take if all were as large as the first: fewer leave a slow shard too much to hold, more cost
# requests. Measured by hack/bench_scheduling.py.
PARTS = 8
# Of the mean unit: whatever an estimate says, no conversation is free.
LEAST_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class Share:
    """A shard's place in its queue."""

    folder: str
    """Prefix of the queue's claims."""
    rank: int
    """Place of the shard among those that share, from 0."""
    sharers: int
    groups: int
    """Queues of this attempt; shards are dealt out to them in turn."""
    blocks: Sequence[Sequence[int]]
    """Indexes into the manifest, longest expected first."""


def share_units(attempt: int, shard: int, shards: Sequence[Sequence[int]], estimates: Sequence[float]) -> Share:
    """Return a shard's place; a shard beyond the assignment's own joins a queue without bringing units."""
    groups = max(1, -(-len(shards) // GROUP))
    group = shard % groups
    members = shards[group::groups]
    indexes = sorted(index for member in members for index in member)
    weights = _weigh(indexes, estimates)
    # sorted() is stable: equal ones keep the manifest's order.
    ordered = sorted(indexes, key=lambda i: -weights[i])
    sharers = max(1, len(members))
    blocks = cut_blocks(ordered, [weights[i] for i in ordered], sharers)
    return Share(claims_folder(attempt, group), (shard // groups) % sharers, sharers, groups, blocks)


def _weigh(indexes: Sequence[int], estimates: Sequence[float]) -> dict[int, float]:
    """Return a weight above 0 for each unit: one that is said to cost nothing would make its block endless."""
    known = {i: max(0.0, estimates[i]) if i < len(estimates) else 0.0 for i in indexes}
    least = sum(known.values()) / max(1, len(known)) * LEAST_WEIGHT
    return {i: max(least, weight) or 1.0 for i, weight in known.items()}


def cut_blocks(ordered: Sequence[int], weights: Sequence[float], sharers: int) -> list[list[int]]:
    """Cut units into blocks of at most 1 / (sharers * PARTS) of the work that is left, at least one unit each."""
    left, blocks, block, held, limit = sum(weights), list[list[int]](), list[int](), 0.0, 0.0
    for index, weight in zip(ordered, weights, strict=True):
        if not block or held + weight > limit:
            left, held, block = left - held, 0.0, []
            limit = left / (sharers * PARTS)
            blocks.append(block)
        block.append(index)
        held += weight
    return blocks


@dataclass(slots=True)
class Board:
    """What a shard has seen of its queue's claims; a claim once seen stays."""

    share: Share
    generations: dict[int, int] = field(default_factory=dict)
    """Newest generation by claimed block."""
    left: set[str] = field(default_factory=set)
    """Keys of the pods that gave back what they held."""
    finished: set[str] = field(default_factory=set)
    """Keys of the shards that have nothing more to end."""

    def see(self, keys: Collection[str]) -> None:
        """Take in a listing of the queue's folder."""
        for key in keys:
            name = key.removeprefix(self.share.folder)
            if name.startswith("left/"):
                self.left.add(key)
            elif name.startswith("finished/"):
                self.finished.add(key)
            else:
                self._see_claim(name)

    def _see_claim(self, name: str) -> None:
        parts = name.split(".")
        if len(parts) == 3 and parts[0].isdecimal() and parts[1].isdecimal():
            block, generation = int(parts[0]), int(parts[1])
            self.generations[block] = max(generation, self.generations.get(block, 0))

    def newest_key(self, block: int) -> str:
        """Return the key of a claimed block's newest claim."""
        return claim_key(self.share.folder, block, self.generations[block])

    def choose(self, units: int, suspected: Collection[int] = (), is_idle: bool = True) -> list[int]:
        """Return unclaimed blocks, the longest units first, with so many units together if there are as many.

        While many blocks are left, shards choose apart from each other, so that those that begin together do not all
        reach for the same one; the last blocks are taken strictly in order. Blocks with suspects are for shards that
        are idle, since a suspect waits for all that runs: each of those that begin takes its part, others are left to
        the end.
        """
        hot = [block for block in sorted(suspected) if block not in self.generations]
        if is_idle and (dealt := [block for block in self.deal(sorted(suspected)) if block in hot]):
            return dealt
        every, free = len(self.share.blocks), [block for block in self.unclaimed() if block not in hot]
        if not free:
            return hot[:1] if is_idle else []
        start = min(self.share.rank * len(free) // max(1, every), max(0, len(free) - 1))
        stride = 1 + (self.share.sharers - 1) * len(free) // max(1, every)
        chosen: list[int] = []
        for block in free[start::stride]:
            if units <= 0:
                break
            chosen.append(block)
            units -= len(self.share.blocks[block])
        return chosen

    def deal(self, blocks: Sequence[int]) -> Sequence[int]:
        """Return this shard's part of blocks that all who share the queue are to have equally many of."""
        return blocks[self.share.rank :: self.share.sharers]

    def unclaimed(self) -> list[int]:
        """Return the blocks that nobody has claimed."""
        return [block for block in range(len(self.share.blocks)) if block not in self.generations]
