"""The escape suite, run in place: each attempt under all layers, and once more without what stops it. EDGE."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import TextIO

from toolorch_evaluator.sandbox.errors import KeeperError
from toolorch_evaluator.sandbox.escapes.escape import SUCCESS, Escape, preamble
from toolorch_evaluator.sandbox.escapes.suite import ESCAPES
from toolorch_evaluator.sandbox.probe import probe
from toolorch_evaluator.sandbox.sandbox import Sandbox
from toolorch_evaluator.sandbox.terms import REQUIRED, Layer, Layers, Limits, Outcome

# Small enough that an attempt to take more is over at once; numpy is not imported here.
LIMITS = Limits(
    wall_seconds=20.0,
    cpu_seconds=10,
    memory_bytes=400 << 20,
    file_bytes=2 << 20,
    scratch_bytes=8 << 20,
    scratch_files=200,
)
# As many attempts at a time: most of them wait.
_CONCURRENCY = 8
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")


@dataclass(frozen=True, slots=True)
class Finding:
    """How an attempt went, and, where that can be shown, how it goes without what stops it."""

    escape: Escape
    outcome: Outcome
    shown: Outcome | None = None

    @property
    def held(self) -> bool:
        """The attempt failed."""
        return SUCCESS not in self.outcome.stdout

    @property
    def proven(self) -> bool:
        """Without what stops it, the attempt succeeds: so this one could have."""
        return self.shown is not None and SUCCESS in self.shown.stdout


class Range:
    """Where attempts are made: a folder of ours and a server of ours, both to be attacked."""

    def __init__(self, layers: Collection[Layer], folder: str, port: int) -> None:
        """Take the layers that attempts run under."""
        self.layers = tuple(layers)
        self.folder = folder
        self.port = port
        self._room = asyncio.Semaphore(_CONCURRENCY)

    async def attempt(self, escape: Escape, *, show: bool = True) -> Finding:
        """Make one attempt, and show what it would do where that is possible on this machine."""
        held = await self._run(escape, self.layers, replace(LIMITS, **escape.limits))
        if not show or not escape.can_be_shown or not can_be_shown_here(escape):
            return Finding(escape, held)
        lifted = {*escape.lift, Layer.NAMESPACES}
        layers = tuple(layer for layer in self.layers if layer not in lifted)
        return Finding(
            escape, held, await self._run(escape, layers, replace(LIMITS, **{**escape.limits, **escape.loosen}))
        )

    async def _run(self, escape: Escape, layers: Sequence[Layer], limits: Limits) -> Outcome:
        async with self._room:
            program = self._preamble() + dedent(escape.program)
            return await Sandbox(layers, limits, folder=self.folder).run(program)

    def _preamble(self) -> str:
        """Make a folder to attack, for this run alone: where an attempt succeeds, it spoils it."""
        outside = Path(tempfile.mkdtemp(prefix="outside-", dir=self.folder))
        (outside / "secret").write_text("secret")
        return preamble(os.uname().machine, parent=os.getpid(), outside=str(outside), port=self.port)


@asynccontextmanager
async def open_range(layers: Collection[Layer]) -> AsyncIterator[Range]:
    """Open a place for attempts under some layers; nothing of it stays."""
    folder = tempfile.mkdtemp(prefix="sandbox-check-")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    try:
        yield Range(layers, folder, server.sockets[0].getsockname()[1])
    finally:
        server.close()
        shutil.rmtree(folder, ignore_errors=True)


def here() -> tuple[Escape, ...]:
    """The attempts that this machine can be asked to make."""
    return tuple(escape for escape in ESCAPES if os.uname().machine in escape.machines)


def can_be_shown_here(escape: Escape) -> bool:
    """Whether an attempt may succeed on this machine once what stops it is gone."""
    if escape.needs == "root":
        return os.geteuid() == 0
    return escape.needs != "yama" or not _YAMA.exists() or _YAMA.read_text().strip() == "0"


async def check() -> tuple[Layers, list[Finding]]:
    """Probe the layers and make all attempts under those that work."""
    layers = await probe()
    async with open_range(layers.working) as place:
        findings = await asyncio.gather(*(place.attempt(escape) for escape in here()))
    return layers, list(findings)


def table(layers: Layers, findings: Sequence[Finding]) -> str:
    """Render what was found, one line per layer and per attempt."""
    lines = [f"{'LAYER':<16} STATE"]
    lines += [f"{layer:<16} {layers.missing.get(layer, 'works')}{_note(layer, layers)}" for layer in Layer]
    lines += ["", f"{'ATTEMPT':<50} {'STOPPED BY':<21} {'RESULT':<8} {'ENDED':<8} WITHOUT IT"]
    for found in findings:
        without = "" if found.shown is None else "escapes" if found.proven else "not here"
        result = "held" if found.held else "ESCAPED"
        ended = found.outcome.ending
        lines.append(f"{found.escape.name:<50} {found.escape.stopped_by:<21} {result:<8} {ended:<8} {without}".rstrip())
    held = sum(found.held for found in findings)
    return "\n".join([*lines, "", f"{held} of {len(findings)} attempts held"])


def _note(layer: Layer, layers: Layers) -> str:
    if layer is Layer.LANDLOCK and layers.landlock_version:
        return f" (version {layers.landlock_version})"
    return " (not needed)" if layer not in REQUIRED and layer in layers.missing else ""


def passes(layers: Layers, findings: Sequence[Finding]) -> bool:
    """All layers that are needed work, and every attempt failed."""
    return layers.kill and not set(REQUIRED) & set(layers.missing) and all(found.held for found in findings)


def main(out: TextIO) -> int:
    """Check, print the table and return an exit status: 0 where the sandbox is whole and holds."""
    try:
        layers, findings = asyncio.run(check())
    except KeeperError as error:
        print(f"error: {error}", file=out)
        return 1
    print(table(layers, findings), file=out)
    return 0 if passes(layers, findings) else 1
