"""The mounted run.json, looked at again while a shard runs: how many units may run at once can change."""

from __future__ import annotations

from pathlib import Path

import structlog

from toolorch_api.shard import RunInput
from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.settings import read_run

log = structlog.get_logger(__name__)


class RunFile:
    """Follows run.json for the one field that may change under a running shard."""

    def __init__(self, input_dir: Path, run: RunInput) -> None:
        self._input_dir = input_dir
        self._spec_hash = run.spec_hash
        self._width = run.spec.concurrency_per_shard
        self._stamp: tuple[int, int] | None = None

    def width(self) -> int:
        """Return concurrencyPerShard as the file says now; unreadable, or another run's: as it was."""
        try:
            stat = (self._input_dir / "run.json").stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._stamp = stamp
                self._take(read_run(self._input_dir))
        except (OSError, BadInputError) as error:
            log.warning("run_unreadable", error=str(error).splitlines()[0])
        return self._width

    def _take(self, run: RunInput) -> None:
        width = run.spec.concurrency_per_shard
        if run.spec_hash == self._spec_hash and width != self._width:
            log.info("width_changed", units=width, before=self._width)
            self._width = width
