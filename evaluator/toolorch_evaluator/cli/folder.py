"""The folder of one run: object storage, as files. The evaluator's steps write results there, the brain reads facts."""

from __future__ import annotations

import fcntl
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from toolorch_api.deaths import Death
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_api.keys import (
    DEATHS_PREFIX,
    ERRORS_PREFIX,
    MANIFEST_KEY,
    PROGRESS_PREFIX,
    RESULTS_PREFIX,
    RUN_KEY,
    SUMMARY_KEY,
    assignment_key,
    run_folder,
)
from toolorch_api.meta import StatusModel
from toolorch_api.shard import Assignment, Manifest, Progress, Summary
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_operator.evalrun.observed import StorageView
from toolorch_operator.evalrun.wants import StorageWants

STATUS_FILE = "status.json"
_LOGS = "logs"
_T = TypeVar("_T", bound=StatusModel)


class RunFolder:
    """Files of one run below the output folder; besides the storage layout it holds logs/ and status.json."""

    def __init__(self, output: Path, run: EvalRun) -> None:
        """`output` is the folder of all runs."""
        self.path = output.resolve() / run_folder(run.metadata.name, run.metadata.uid)
        self._lock: int | None = None
        self._manifest: Manifest | None = None

    def open(self) -> None:
        """Make the folder and hold it for this command alone; raises BadInputError where that cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise BadInputError([f"--output: {error.filename} cannot be written: {error.strerror}"]) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise BadInputError([f"another toolorch works on {self.path}; wait for it, or use --fresh"]) from None

    def close(self) -> None:
        """Let others work on the run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def created_at(self) -> datetime:
        """When the run began, which is now for a new one."""
        try:
            return datetime.fromtimestamp((self.path / RUN_KEY).stat().st_mtime, UTC)
        except FileNotFoundError:
            return datetime.now(UTC)

    def log(self, name: str) -> Path:
        """Log file of a replica or step."""
        return self.path / _LOGS / f"{name}.log"

    def read_log_end(self, name: str, lines: int, most: int) -> str:
        """Return the last lines of a log, of these the last bytes; empty where there is none."""
        try:
            with self.log(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - most))
                kept = log.read(most).decode(errors="replace").splitlines(keepends=True)
        except FileNotFoundError:
            return ""
        return "".join(kept[-lines:])

    def create(self, key: str, body: bytes) -> None:
        """Write an object unless it is there already."""
        target = self.path / key
        if not target.exists():
            write_whole(target, body)

    def read_status(self) -> EvalRunStatus:
        """Return the status that an earlier command left; a cluster keeps it in the EvalRun."""
        found = self._read(STATUS_FILE, EvalRunStatus)
        return found if found is not None else EvalRunStatus()

    def write_status(self, status: EvalRunStatus) -> None:
        """Keep the status for the next command."""
        write_whole(self.path / STATUS_FILE, status.model_dump_json(by_alias=True, indent=2).encode())

    def forget_deaths(self) -> None:
        """Give the units that were set aside another chance; all else that an earlier command left stays."""
        shutil.rmtree(self.path / DEATHS_PREFIX, ignore_errors=True)

    def read_facts(self, wants: StorageWants) -> StorageView:
        """Read what the brain wants to know."""
        if wants.manifest and self._manifest is None:
            self._manifest = self._read(MANIFEST_KEY, Manifest)
        attempt = wants.assignment
        return StorageView(
            manifest=self._manifest if wants.manifest else None,
            assignment=None if attempt is None else self._read(assignment_key(attempt), Assignment),
            progress=self.read_progress() if wants.progress else (),
            results=self._keys(RESULTS_PREFIX) if wants.results else None,
            errors=self._keys(ERRORS_PREFIX) if wants.errors else None,
            summary=self._read(SUMMARY_KEY, Summary) if wants.summary else None,
            deaths=self._read_deaths() if wants.deaths else None,
            exits=frozenset(key for key in wants.exits if (self.path / key).exists()),
        )

    def count_results(self) -> int:
        """Count the units that have ended for good."""
        return len(self._keys(RESULTS_PREFIX))

    def read_progress(self) -> tuple[Progress, ...]:
        """Return the progress of all shards of all attempts."""
        found = (self._read(key, Progress) for key in sorted(self._keys(PROGRESS_PREFIX)))
        return tuple(progress for progress in found if progress is not None)

    def _read_deaths(self) -> dict[str, Death]:
        read = {key: self._read(key, Death) for key in sorted(self._keys(DEATHS_PREFIX))}
        return {key: death for key, death in read.items() if death is not None}

    def _keys(self, prefix: str) -> frozenset[str]:
        files = (self.path / prefix).rglob("*.json")
        return frozenset(file.relative_to(self.path).as_posix() for file in files)

    def _read(self, key: str, model: type[_T]) -> _T | None:
        try:
            return model.model_validate_json((self.path / key).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise BadInputError([f"{self.path / key}: this is not what toolorch wrote; --fresh runs anew"]) from None


def write_whole(target: Path, body: bytes) -> None:
    """Write a file so that a reader sees all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.write_bytes(body)
    part.replace(target)
