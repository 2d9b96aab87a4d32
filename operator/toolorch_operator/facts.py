"""Reads of a run's folder what its brain wants, and remembers what cannot have changed. EDGE.

Memory here only saves requests: what is written once is kept, progress is read again where the listing says it changed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
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
from toolorch_operator.storage import Entry, Folder

RUNS_REMEMBERED = 32
"""Runs whose manifest and progress are kept: more than a cluster runs at a time; the rest is read again."""

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

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token
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
        if len(self._memories) > RUNS_REMEMBERED:
            self._memories.popitem(last=False)
        return memory


T = TypeVar("T")


async def _when(wanted: bool, read: Callable[[], Awaitable[T]]) -> T | None:
    return await read() if wanted else None


async def _get(folder: Folder, key: str, model: type[M]) -> M | None:
    body = await folder.get(key)
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
    read = await asyncio.gather(*(_get(folder, entry.key, Progress) for entry in changed))
    for entry, progress in zip(changed, read, strict=True):
        if progress is not None:
            memory.progress[entry.key] = (entry.version, progress)
    return tuple(memory.progress[e.key][1] for e in sorted(entries, key=_key) if e.key in memory.progress)


async def _deaths(folder: Folder, memory: _Memory) -> dict[str, Death]:
    keys = await _keys(folder, DEATHS_PREFIX)
    new = sorted(keys - memory.deaths.keys())
    read = await asyncio.gather(*(_death(folder, key) for key in new))
    memory.deaths |= dict(zip(new, read, strict=True))
    return {key: death for key in sorted(keys) if (death := memory.deaths[key]) is not None}


async def _death(folder: Folder, key: str) -> Death | None:
    try:
        return await _get(folder, key, Death)
    except StorageInvalid as error:
        # Shards leave it out as well; a run must not hang on it.
        log.warning("death cannot be read", key=key, error=str(error))
        return None


async def _exits(folder: Folder, memory: _Memory, wanted: frozenset[str]) -> frozenset[str]:
    if wanted - memory.exits:
        memory.exits |= await _keys(folder, ATTEMPTS_PREFIX) & wanted
    return wanted & memory.exits


def _key(entry: Entry) -> str:
    return entry.key


async def _keys(folder: Folder, prefix: str) -> frozenset[str]:
    return frozenset(entry.key for entry in await folder.list(prefix))
