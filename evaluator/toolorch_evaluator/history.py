"""What runs leave for later ones beside their folders: how long their tasks took.

One small object per run and no shared one, so that two runs that end together do not overwrite each other. It is help,
not truth: a run does without it where it cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from pydantic import ValidationError

from toolorch_api.keys import DURATIONS_FOLDER, durations_key
from toolorch_api.shard import Durations, Result, RunInput, Unit
from toolorch_api.unit import slug
from toolorch_evaluator.estimates import measure_tasks
from toolorch_evaluator.exits import BadInputError, StorageError
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.small_store import SmallStore

log = structlog.get_logger(__name__)

# A plan waits for it, and a report is done without it.
PATIENCE_SECONDS = 5.0
# The newest say most, and the median of as many moves little with one more.
RUNS = 16


class History:
    """The durations of all runs below one output URI."""

    def __init__(self, shared: Results) -> None:
        self._shared = shared

    async def read(self, benchmark: str) -> list[Durations]:
        """Return what the newest runs of a benchmark left; empty where that cannot be read."""
        try:
            written = await self._shared.list_times(f"{DURATIONS_FOLDER}/{slug(benchmark)}/")
            newest = sorted(written, key=lambda key: written[key], reverse=True)[:RUNS]
            return [run async for _, body in self._shared.get_all(newest) if (run := _parse(body))]
        except StorageError as error:
            log.warning("history_unread", error=error.message)
            return []

    async def keep(self, run: RunInput, finals: Mapping[Unit, Result]) -> None:
        """Leave what a run's tasks took."""
        if not finals:
            return
        body = measure_tasks(finals.items()).model_dump_json(by_alias=True).encode()
        try:
            await self._shared.put(durations_key(run.spec.benchmark.name, _split(run.root)[1]), body)
        except StorageError as error:
            log.warning("history_unwritten", error=error.message)


def open_history(run: RunInput, env: Mapping[str, str]) -> History | None:
    """Open the history beside a run's folder; None where its root cannot be opened."""
    try:
        return History(Results(SmallStore(open_store(_split(run.root)[0], env)), PATIENCE_SECONDS))
    except BadInputError as error:
        log.warning("history_unopened", error=error.message)
        return None


def _split(root: str) -> tuple[str, str]:
    """Return the output URI and the run's folder in it."""
    output, _, folder = root.rstrip("/").rpartition("/")
    return output, folder


def _parse(body: bytes) -> Durations | None:
    try:
        return Durations.model_validate_json(body)
    except ValidationError:
        return None
