"""`toolorch servers`: what `toolorch run --keep-servers` left running, and how it is ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.notes import Note, answering, read_notes, stop
from toolorch_evaluator.cli.table import render_rows

_HEADER = ("SERVER", "MODEL", "URL", "HEALTH", "GPUS", "PID", "LOG")


async def list_servers(folder: Path) -> list[str]:
    """Return header and rows of all kept servers, or one line where there are none."""
    notes = read_notes(folder)
    if not notes:
        return ["no servers are kept; toolorch run --keep-servers leaves them running"]
    healthy = await answering(notes)
    return render_rows(_HEADER, [_row(note, note in healthy) for note in notes])


async def stop_servers(folder: Path, pools: Sequence[str], everything: bool) -> list[str]:
    """End the kept servers of these pools, or all; return a line for each, raise BadInputError where none is meant."""
    notes = read_notes(folder)
    unknown = [name for name in pools if name not in {note.pool for note in notes}]
    if unknown:
        raise BadInputError([f"no server of pool {name} is kept" for name in unknown])
    if not pools and not everything:
        raise BadInputError(["name the pools whose servers are to end, or give --all"])
    chosen = [note for note in notes if everything or note.pool in pools]
    await stop(folder, chosen)
    return [f"{note.instance} on port {note.port}: ended" for note in chosen] or ["no servers are kept"]


def _row(note: Note, is_healthy: bool) -> list[str]:
    url = f"http://127.0.0.1:{note.port}/v1"
    # The third word of `vllm serve MODEL`.
    return [note.instance, note.asked[2], url, "ok" if is_healthy else "no answer", ",".join(note.gpus) or "-",
            str(note.pid), note.log]  # fmt: skip
