"""When a shard writes its progress object."""

import asyncio
from datetime import UTC, datetime

import pytest

from toolorch_evaluator.progress import ProgressWriter
from toolorch_evaluator.results import Results
from toolorch_evaluator.shard_step import seconds_between_writes
from toolorch_evaluator.tally import Tally


class Counting:
    """A store that counts writes, and fails where told to."""

    def __init__(self, broken=False):
        self.writes = 0
        self.broken = broken
        self.came = asyncio.Condition()

    async def put_async(self, path, file, **more):
        self.writes += 1
        async with self.came:
            self.came.notify_all()
        if self.broken:
            raise OSError("away")

    async def wrote(self, count):
        async with self.came:
            await asyncio.wait_for(self.came.wait_for(lambda: self.writes >= count), 10)


def make_tally():
    return Tally("h", 1, 0, "pod", total=100, started_at=datetime.now(UTC))


async def test_many_changes_are_one_write_and_the_end_waits_for_none():
    store = Counting()
    writer = ProgressWriter(Results(store), make_tally(), shortest=60, heartbeat=120)
    async with asyncio.timeout(5), writer.writing():
        await store.wrote(1)
        for _ in range(50):
            writer.touch()
            await asyncio.sleep(0)
    assert store.writes == 1


async def test_a_change_is_written_and_silence_is_broken():
    store = Counting()
    writer = ProgressWriter(Results(store), make_tally(), shortest=0.01, heartbeat=60)
    async with writer.writing():
        await store.wrote(1)
        writer.touch()
        await store.wrote(2)
    store = Counting()
    async with ProgressWriter(Results(store), make_tally(), shortest=0.01, heartbeat=0.02).writing():
        await store.wrote(4)


async def test_progress_that_cannot_be_written_stops_nothing():
    store = Counting(broken=True)
    async with ProgressWriter(Results(store), make_tally(), shortest=0.01, heartbeat=0.02).writing():
        await store.wrote(3)


@pytest.mark.parametrize(("shards", "seconds"), [(1, 1.0), (100, 1.0), (1000, 10.0)])
def test_more_shards_write_less_often(shards, seconds):
    assert seconds_between_writes(shards) == seconds
