"""Whose claims still hold. No I/O.

The lease of a shard's claims is its progress object: while that is overwritten, they hold, and nothing has to be
written for each claim. Its age is measured against the looking shard's own one in the same listing: both times are
the store's, so that no two clocks are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from toolorch_api.keys import PROGRESS_PREFIX, finished_key, progress_key
from toolorch_evaluator.blocks import Board
from toolorch_evaluator.progress import HEARTBEAT_SECONDS

# Six heartbeats missed, and a lease is over; until three are missed nobody waits to see whether it is.
LEASE_SECONDS = 6 * HEARTBEAT_SECONDS
DOUBT_SECONDS = 3 * HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True)
class Place:
    """Who claims."""

    spec_hash: str
    attempt: int
    shard: int
    pod: str
    """Name of one start of one pod: no two share it."""


@dataclass(frozen=True, slots=True)
class Leases:
    """What a listing of progress/ says of the other shards of a queue."""

    lapsed: frozenset[int]
    in_doubt: bool
    """Whether a lease may soon be over: worth waiting for, since nobody else may come after."""


def judge_leases(board: Board, place: Place, written: Mapping[str, datetime]) -> Leases:
    """Judge the leases by when the progress objects were written last."""
    now = written.get(progress_key(place.attempt, place.shard))
    if now is None:  # storage was away at this shard's first word: there is no time to compare with
        return Leases(frozenset(), in_doubt=False)
    ages = {
        shard: (now - at).total_seconds()
        for shard, at in _shards(place.attempt, written).items()
        if _shares(board, place, shard)
    }
    lapsed = frozenset(shard for shard, age in ages.items() if age > LEASE_SECONDS)
    return Leases(lapsed, any(DOUBT_SECONDS < age <= LEASE_SECONDS for age in ages.values()))


def _shards(attempt: int, written: Mapping[str, datetime]) -> dict[int, datetime]:
    here = f"{PROGRESS_PREFIX}{attempt}-"
    numbers = {key.removeprefix(here).removesuffix(".json"): at for key, at in written.items() if key.startswith(here)}
    return {int(number): at for number, at in numbers.items() if number.isdecimal()}


def _shares(board: Board, place: Place, shard: int) -> bool:
    """Whether it is another shard of the same queue that has not ended all it claimed."""
    same = (shard - place.shard) % board.share.groups == 0
    return same and shard != place.shard and finished_key(board.share.folder, shard) not in board.finished
