"""Reads of a run's folder what its brain wants, and remembers what cannot have changed. EDGE.

Memory here only saves requests: what is written once is kept, progress is read again where the listing says it changed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pydantic
import structlog

from toolorch_api.deaths import Death
from toolorch_api.keys import (
    ATTEMPTS_PREFIX,
    DEATHS_PREFIX,
    ERRORS_PREFIX,
    MANIFEST_KEY,
    PROGRESS_PREFIX,
    RESULTS_PREFIX,
    SUMMARY_KEY,
    assignment_key,
)
from toolorch_api.meta import StatusModel
from toolorch_api.shard import Assignment, Manifest, Progress, Summary
from toolorch_operator.errors import StorageInvalid
from toolorch_operator.evalrun.observed import StorageView
from toolorch_operator.evalrun.wants import StorageWants
from toolorch_operator.storage import MOST_BYTES, Entry, Folder

RUNS_REMEMBERED = 32
"""Runs whose manifest and progress are kept: more than a cluster runs at a time; the rest is read again."""

UNITS_REMEMBERED = 500_000
"""Of all remembered manifests together: beyond that the oldest are read again, whatever size runs have."""
READS_AT_ONCE = 32
"""Objects of a folder that are on their way at once: whoever can write there may have put any number."""
MOST_SMALL_BYTES = 256 * 1024
"""Of a shard's progress or a death, which take a few KB: several are held at once."""

log = structlog.get_logger("facts")
M = TypeVar("M", bound=StatusModel)


@dataclass(slots=True)
class _Memory:
    manifest: Manifest | None = None
    assignments: dict[int, Assignment] = field(default_factory=dict)
    progress: dict[str, tuple[str, Progress]] = field(default_factory=dict)
    deaths: dict[str, Death | None] = field(default_factory=dict)
    exits: set[str] = field(default_factory=set)


class Facts:
    """Facts of many runs; `token` names the scratch object of a storage probe and never repeats."""

    def __init__(self, token: Callable[[], str], units_remembered: int = UNITS_REMEMBERED) -> None:
        self._token = token
        self._units_remembered = units_remembered
        self._memories: OrderedDict[str, _Memory] = OrderedDict()

    async def read(self, folder: Folder, root: str, wants: StorageWants) -> StorageView:
        """Return what is wanted: O(1 + changed shards) requests, plus pages of results where those are wanted."""
        if wants.nothing:
            return StorageView()
        if not await folder.probe(self._token()):
            log.debug("storage has no atomic create", root=root)
        memory = self._remember(root)
        manifest, assignment, progress, results, errors, (summary, deaths, exits) = await asyncio.gather(
            _when(wants.manifest, lambda: _manifest(folder, memory)),
            _when(wants.assignment is not None, lambda: _assignment(folder, memory, wants.assignment or 0)),
            _when(wants.progress, lambda: _progress(folder, memory)),
            _when(wants.results, lambda: _keys(folder, RESULTS_PREFIX)),
            _when(wants.errors, lambda: _keys(folder, ERRORS_PREFIX)),
            asyncio.gather(
                _when(wants.summary, lambda: _get(folder, SUMMARY_KEY, Summary)),
                _when(wants.deaths, lambda: _deaths(folder, memory)),
                _exits(folder, memory, wants.exits),
            ),
        )
        return StorageView(
            manifest=manifest,
            assignment=assignment,
            progress=progress or (),
            results=results,
            errors=errors,
            summary=summary,
            deaths=deaths,
            exits=exits,
        )

    def _remember(self, root: str) -> _Memory:
        memory = self._memories.setdefault(root, _Memory())
        self._memories.move_to_end(root)
        while self._is_full() and len(self._memories) > 1:
            self._memories.popitem(last=False)
        return memory

    def _is_full(self) -> bool:
        units = sum(len(memory.manifest.units) for memory in self._memories.values() if memory.manifest is not None)
        return len(self._memories) > RUNS_REMEMBERED or units > self._units_remembered


T = TypeVar("T")


async def _when(wanted: bool, read: Callable[[], Awaitable[T]]) -> T | None:
    return await read() if wanted else None


async def _get(folder: Folder, key: str, model: type[M], most: int = MOST_BYTES) -> M | None:
    body = await folder.get(key, most)
    if body is None:
        return None
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise StorageInvalid(f"{key} is not what toolorch writes there: {error.error_count()} errors") from error


async def _manifest(folder: Folder, memory: _Memory) -> Manifest | None:
    memory.manifest = memory.manifest or await _get(folder, MANIFEST_KEY, Manifest)
    return memory.manifest


async def _assignment(folder: Folder, memory: _Memory, attempt: int) -> Assignment | None:
    if attempt not in memory.assignments:
        found = await _get(folder, assignment_key(attempt), Assignment)
        if found is None:
            return None
        memory.assignments = {attempt: found}
    return memory.assignments[attempt]


async def _progress(folder: Folder, memory: _Memory) -> tuple[Progress, ...]:
    entries = await folder.list(PROGRESS_PREFIX)
    changed = [e for e in entries if e.key not in memory.progress or memory.progress[e.key][0] != e.version]
    for some in _batches(changed):
        read = await asyncio.gather(*(_get(folder, entry.key, Progress, MOST_SMALL_BYTES) for entry in some))
        for entry, progress in zip(some, read, strict=True):
            if progress is not None:
                memory.progress[entry.key] = (entry.version, progress)
    return tuple(memory.progress[e.key][1] for e in sorted(entries, key=_key) if e.key in memory.progress)


async def _deaths(folder: Folder, memory: _Memory) -> dict[str, Death]:
    keys = await _keys(folder, DEATHS_PREFIX)
    for some in _batches(sorted(keys - memory.deaths.keys())):
        read = await asyncio.gather(*(_death(folder, key) for key in some))
        memory.deaths |= dict(zip(some, read, strict=True))
    return {key: death for key in sorted(keys) if (death := memory.deaths[key]) is not None}


async def _death(folder: Folder, key: str) -> Death | None:
    try:
        return await _get(folder, key, Death, MOST_SMALL_BYTES)
    except StorageInvalid as error:
        # Shards leave it out as well; a run must not hang on it.
        log.warning("death cannot be read", key=key, error=str(error))
        return None


async def _exits(folder: Folder, memory: _Memory, wanted: frozenset[str]) -> frozenset[str]:
    if wanted - memory.exits:
        memory.exits |= await _keys(folder, ATTEMPTS_PREFIX) & wanted
    return wanted & memory.exits


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + READS_AT_ONCE] for start in range(0, len(items), READS_AT_ONCE))


def _key(entry: Entry) -> str:
    return entry.key


async def _keys(folder: Folder, prefix: str) -> frozenset[str]:
    return frozenset(entry.key for entry in await folder.list(prefix))
