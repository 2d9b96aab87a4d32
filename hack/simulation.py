"""Shards over simulated time: the evaluator's own queue and runner, with storage and conversations that only wait.

The event loop's clock jumps to the next thing that is due, so hours pass in the seconds that the code itself takes.
"""

from __future__ import annotations

import asyncio
import os
import random
import selectors
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from toolorch_api.keys import RESULTS_PREFIX, result_key
from toolorch_api.shard import ExitCode, Manifest, Result, Unit, UnitStatus
from toolorch_evaluator.blocks import Board, share_units
from toolorch_evaluator.caution import Caution
from toolorch_evaluator.claims import ClaimQueue
from toolorch_evaluator.held import Held, Turn
from toolorch_evaluator.holders import Holders
from toolorch_evaluator.last_word import RunningUnits
from toolorch_evaluator.leases import Place
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.progress import ProgressWriter
from toolorch_evaluator.results import Results
from toolorch_evaluator.runner import Shard
from toolorch_evaluator.tally import Ended, Tally

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
T = TypeVar("T")


class _Clock(selectors.SelectSelector):
    """Waits by moving the time on."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits for something that will never come")
        self.now += max(0.0, timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._simulated = _Clock()
        super().__init__(self._simulated)

    def time(self) -> float:
        return self._simulated.now


def run_simulated(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end over simulated time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


@dataclass
class Bucket:
    """The objects of all pods."""

    rng: random.Random
    latency: float = 0.05
    """Mean seconds of a request."""
    create: str = "atomic"
    """atomic; racy: looks first and writes later; ignored: writes over what is there."""
    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    rewritten: int = 0
    """Results that were written more than once."""


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def bytes_async(self) -> bytes:
        return self._body


@dataclass
class Line:
    """One pod's line to the bucket; a dead pod's answers nothing more."""

    bucket: Bucket
    cut: bool = False

    async def _wait(self, kind: str, share: float = 1.0) -> None:
        await asyncio.sleep(share * self.bucket.rng.expovariate(1 / self.bucket.latency))
        if self.cut:
            raise PermissionError("the pod is dead")
        self.bucket.requests[kind] += 1 if share == 1.0 else 0

    async def put_async(self, path: str, file: bytes, *, mode: str | None = None, use_multipart: Any = None) -> None:
        """Write an object, as the bucket's kind of create lets it."""
        bucket = self.bucket
        await self._wait("claim" if path.startswith("claims/") else "put")
        taken = path in bucket.objects
        if bucket.create == "racy":
            await self._wait("put", 0.5)
        if mode == "create" and taken and bucket.create != "ignored":
            raise FileExistsError(path)
        bucket.rewritten += path in bucket.objects and path.startswith(RESULTS_PREFIX)
        bucket.objects[path] = (file, asyncio.get_running_loop().time())

    async def get_async(self, path: str) -> _Body:
        """Read an object."""
        await self._wait("claim" if path.startswith("claims/") else "get")
        if path not in self.bucket.objects:
            raise FileNotFoundError(path)
        return _Body(self.bucket.objects[path][0])

    async def list(self, prefix: str = "", *, chunk_size: int = 1000) -> AsyncIterator[list[dict[str, Any]]]:
        """List objects in one page."""
        await self._wait("claim" if prefix.startswith("claims/") else "list")
        found = [(key, at) for key, (_, at) in self.bucket.objects.items() if key.startswith(prefix)]
        yield [{"path": key, "last_modified": EPOCH + timedelta(seconds=at)} for key, at in found]


@dataclass
class Talk:
    """Conducts units by waiting for as long as each one takes."""

    results: Results
    shard: int
    pod: str
    seconds: Callable[[Unit], float]
    began: Counter[Unit]
    at: set[int]
    """Units under way."""
    beside: list[frozenset[int]]
    """Units that were under way at once, at each beginning of one."""

    async def conduct(self, turn: Turn) -> Ended:
        """Wait, and store the result."""
        unit = turn.unit
        self.began[unit] += 1
        self.at.add(turn.index)
        self.beside.append(frozenset(self.at))
        await asyncio.sleep(self.seconds(unit))
        self.at.discard(turn.index)
        place = {"variant": unit.variant, "domain": unit.domain, "task_id": unit.task_id, "trial": unit.trial}
        ended = {"status": UnitStatus.PASSED, "started_at": EPOCH, "ended_at": EPOCH}
        result = Result(**place, **ended, spec_hash="h", attempt=1, shard=self.shard, pod=self.pod)
        if not await self.results.put_new(result_key(unit), result.model_dump_json(by_alias=True).encode()):
            first = await self.results.get(result_key(unit))
            return Ended(Result.model_validate_json(first or b""), here=False)
        return Ended(result)


@dataclass
class Fleet:
    """All shards of one attempt at some units."""

    bucket: Bucket
    manifest: Manifest
    seconds: Mapping[Unit, float]
    """What each unit takes at speed 1."""
    assigned: Sequence[Sequence[int]]
    slots: int
    speeds: Sequence[float]
    attempt: int = 1
    began: Counter[Unit] = field(default_factory=Counter)
    at: dict[int, set[int]] = field(default_factory=dict)
    """Units under way, by shard."""
    beside: list[frozenset[int]] = field(default_factory=list)
    """Units that were under way at once in a shard."""
    counted: int = 0
    lines: dict[int, Line] = field(default_factory=dict)
    stops: dict[int, asyncio.Event] = field(default_factory=dict)
    make_line: Callable[[Bucket], Line] = Line

    async def start(self, index: int, pod: str = "") -> ExitCode:
        """Run one pod of a shard to its end."""
        line, stop = self.make_line(self.bucket), asyncio.Event()
        self.lines[index], self.stops[index] = line, stop
        pod, speed = pod or f"pod-{index}", self.speeds[index]
        results, place = Results(line, patience=1.0), Place("h", self.attempt, index, pod)
        board = Board(share_units(self.attempt, index, self.assigned, self.manifest.estimates))
        held = Held(self.manifest, set(await results.list_keys(RESULTS_PREFIX)), talked=set())
        caution = Caution(results, place, self.manifest, quarantine_after=3)
        at = self.at[index] = set[int]()
        tally = Tally("h", self.attempt, index, pod, total=len(self.assigned[index]), started_at=EPOCH)
        shard = Shard(
            conductor=Talk(results, index, pod, lambda unit: self.seconds[unit] / speed, self.began, at, self.beside),
            queue=ClaimQueue(results, place, board, held, Holders(results, board), caution, stop),
            results=results,
            tally=tally,
            progress=ProgressWriter(results, tally),
            profile=Profile(),
            named=RunningUnits(Path(os.devnull)),
            stop=stop,
            width=lambda: self.slots,
        )
        code = await shard.run()
        self.counted += tally.counts[UnitStatus.PASSED]
        return code

    def kill(self, index: int, pod: asyncio.Task[ExitCode]) -> None:
        """Let a pod die without a word."""
        self.lines[index].cut = True
        pod.cancel()

    @property
    def ended_at(self) -> float:
        """When the last result was written."""
        return max(at for key, (_, at) in self.bucket.objects.items() if key.startswith(RESULTS_PREFIX))


def build_manifest(estimates: Sequence[float], count: int) -> Manifest:
    """Return a manifest of so many units."""
    units = [("control", "retail", str(n), 0) for n in range(count)]
    return Manifest(spec_hash="h", dataset_hash="d", units=units, estimates=list(estimates))
