"""Notes of servers that outlive the command: one file each, in a folder of the user.

A note counts as long as its process lives; one whose process is gone is removed by whoever reads it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import Field, ValidationError

from toolorch_api.meta import StatusModel
from toolorch_api.modelpool_status import Effective, Ladder
from toolorch_evaluator.cli import guard
from toolorch_evaluator.cli.children import GRACE_SECONDS
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.folder import write_whole

_ONLY_MINE = 0o700
# A server that works hard answers late; one that hangs must not hold up the command for long.
_HEALTH_SECONDS = 3.0
# Short against the grace, long against the cost of looking.
_LOOK_SECONDS = 0.05


class Note(StatusModel):
    """A server that was kept."""

    pool: str
    instance: str
    pid: int
    """Its launcher, the leader of a process group."""
    started: int
    """When the launcher started, in clock ticks since boot: with the pid it names one process."""
    port: int
    asked: list[str]
    environment: str
    gpus: list[str] = Field(default_factory=list)
    log: str = ""
    keeper: int = 0
    """The command that started and kept it."""
    effective: Effective = Effective()
    """Settings that the ladder had come to."""
    ladder: Ladder = Ladder()

    @property
    def is_alive(self) -> bool:
        """Whether its process is still there."""
        return start_ticks(self.pid) == self.started

    @property
    def file(self) -> str:
        """Name of the note's file."""
        return f"{self.pid}.json"

    def terminate(self) -> None:
        """Ask its process to end, if it is still there."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGTERM)


def notes_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of this user's notes, which may not be there; raises BadInputError where it is another's."""
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or os.devnull)
    folder = runtime / "toolorch" if runtime.is_dir() else Path(tempfile.gettempdir()) / f"toolorch-{os.getuid()}"
    # In a shared folder for temporary files anybody may have made it before, and its notes say what is stopped.
    if folder.is_symlink() or (folder.exists() and not _is_mine(folder)):
        raise BadInputError([f"{folder} must be a folder that only you can use: remove it, or set XDG_RUNTIME_DIR"])
    return folder


def _is_mine(folder: Path) -> bool:
    found = folder.stat()
    return stat.S_ISDIR(found.st_mode) and (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.getuid(), _ONLY_MINE)


def read_notes(folder: Path) -> list[Note]:
    """Return the notes of servers that still run, by instance and port; others are removed."""
    notes = []
    for file in folder.glob("*.json"):
        try:
            note = Note.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            note = None
        if note is not None and note.is_alive:
            notes.append(note)
        else:
            file.unlink(missing_ok=True)
    return sorted(notes, key=lambda note: (note.instance, note.port))


def write_note(folder: Path, note: Note) -> None:
    """Leave a note of a server that runs on."""
    folder.mkdir(mode=_ONLY_MINE, exist_ok=True)
    write_whole(folder / note.file, note.model_dump_json(by_alias=True, indent=2).encode())


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where it has ended, or /proc does not tell."""
    try:
        # The name in parentheses may hold anything; state is the first word behind it and field 3, the start field 22.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else int(words[19])


@dataclass(frozen=True, slots=True)
class KeptServer:
    """A server of an earlier command; this one may end it, and is not told of its exit code."""

    note: Note
    folder: Path

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return not self.note.is_alive

    def terminate(self) -> None:
        """Ask it to end."""
        self.note.terminate()

    async def stop(self) -> None:
        """End and forget it."""
        await stop(self.folder, [self.note])


async def answering(notes: Iterable[Note]) -> list[Note]:
    """Return those whose servers answer /health."""
    chosen = list(notes)
    if not chosen:
        return []
    async with httpx.AsyncClient(timeout=_HEALTH_SECONDS, trust_env=False) as client:

        async def answers(note: Note) -> bool:
            try:
                return (await client.get(f"http://127.0.0.1:{note.port}/health")).is_success
            except httpx.HTTPError:
                return False

        healthy = await asyncio.gather(*(answers(note) for note in chosen))
    return [note for note, is_healthy in zip(chosen, healthy, strict=True) if is_healthy]


async def stop(folder: Path, notes: Sequence[Note], grace_seconds: float = GRACE_SECONDS) -> None:
    """End servers and forget them; what is left of them after the grace is killed."""
    for note in notes:
        note.terminate()
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and any(note.is_alive for note in notes):  # noqa: ASYNC110  others' programs
        await asyncio.sleep(_LOOK_SECONDS)
    guard.kill([note.pid for note in notes if note.is_alive])
    for note in notes:
        (folder / note.file).unlink(missing_ok=True)
