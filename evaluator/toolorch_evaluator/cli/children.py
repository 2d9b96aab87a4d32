"""Starts and stops the programs of a run. No way out of the command leaves one behind, SIGKILL included (guard.py)."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from toolorch_evaluator.cli import guard

# Short against every program's life, long against the cost of looking.
_LOOK_SECONDS = 0.05
# vLLM ends within a few seconds of SIGTERM; a shard gives back its running units in that time.
GRACE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Child:
    """A running program, the leader of its own process group."""

    # Not asyncio's: that one kills what still runs when this program ends, and a server may be kept.
    program: subprocess.Popen[bytes]
    group: int

    async def wait(self) -> int:
        """Wait for its end and return its exit code as a container reports it: 128 + n for signal n."""
        while (code := self.program.poll()) is None:  # noqa: ASYNC110  no event tells of the end of a plain program
            await asyncio.sleep(_LOOK_SECONDS)
        return code if code >= 0 else 128 - code

    def terminate(self) -> None:
        """Ask it to end."""
        self.program.terminate()

    @property
    def has_ended(self) -> bool:
        """Whether it ran to its end; what it left behind is cleared when somebody waits for it."""
        return self.program.poll() is not None


class Children:
    """Everything that one command runs; leaving the context stops all of it."""

    def __init__(self, folder: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        """`folder` is removed when the command dies without a chance to do it."""
        self._folder = folder
        self._grace = grace_seconds
        self._running: dict[int, Child] = {}

    async def __aenter__(self) -> Self:
        command = [sys.executable, "-I", "-S", guard.__file__, str(self._grace), str(self._folder)]
        self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, bufsize=1)  # noqa: ASYNC220
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        try:
            await asyncio.gather(*(self.stop(child) for child in list(self._running.values())))
        finally:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()

    async def start(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
        """Start a program in a process group of its own, its output appended to a log."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            program = subprocess.Popen(  # noqa: ASYNC220  starting is quick; the waiting is done elsewhere
                [*command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(program, program.pid)
        self._running[child.group] = child
        self._tell(f"+{child.group}")
        return child

    async def wait(self, child: Child) -> int:
        """Wait until a program ends, clear what is left of its group, and return the exit code."""
        code = await child.wait()
        # What a dead server leaves behind would hold its GPU's memory.
        guard.kill([child.group])
        self._forget(child)
        return code

    def release(self, child: Child) -> None:
        """Let a program run on when the command ends; from now on nobody here waits for it or stops it."""
        self._forget(child)
        # Python would warn of a program that is left running, which here is meant.
        child.program.returncode = 0

    def guard_over(self, group: int) -> None:
        """Have a process group that another context started, and let go, end with this one where the command dies."""
        self._tell(f"+{group}")

    def guard_no_more(self, group: int) -> None:
        """Forget a group that was guarded over."""
        self._tell(f"-{group}")

    async def stop(self, child: Child) -> int:
        """End a program, SIGTERM first and SIGKILL for its group after the grace, and return its exit code."""
        if not child.has_ended:
            child.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), self._grace)
            guard.kill([child.group])
        return await self.wait(child)

    def _forget(self, child: Child) -> None:
        self._running.pop(child.group, None)
        self._tell(f"-{child.group}")

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.write(line + "\n")
