"""Starts steps of the evaluator as processes, by a server of forks, and knows how each of them ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(__file__).with_name("s3_evaluator.py")


@dataclass
class Step:
    """One process."""

    pid: int
    code: asyncio.Future[int]
    """Its exit code once it has ended, negative for a signal."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        if not self.code.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass
class Steps:
    """The server of forks."""

    child: asyncio.subprocess.Process
    _asked: deque[asyncio.Future[Step]] = field(default_factory=deque)
    _running: dict[int, Step] = field(default_factory=dict)

    async def start(self, step: str, environ: Mapping[str, str], log: Path, patience: float) -> Step:
        """Start a step with an environment; what it prints is appended to `log`."""
        loop = asyncio.get_running_loop()
        self._asked.append(asked := loop.create_future())
        order = {"step": step, "environ": dict(environ), "log": str(log), "patience": patience}
        self.child.stdin.write(json.dumps(order).encode() + b"\n")
        return await asked

    async def follow(self) -> None:
        """Take in what the server says, until it ends."""
        loop = asyncio.get_running_loop()
        while line := await self.child.stdout.readline():
            said = json.loads(line)
            if "code" in said:
                self._running.pop(said["pid"]).code.set_result(said["code"])
            else:
                step = self._running[said["pid"]] = Step(said["pid"], loop.create_future())
                if (asked := self._asked.popleft()).cancelled():
                    step.send(signal.SIGKILL)
                else:
                    asked.set_result(step)


@contextlib.asynccontextmanager
async def open_steps() -> AsyncIterator[Steps]:
    """Have steps started while the block runs; those that still run then are killed."""
    pipe = asyncio.subprocess.PIPE
    # Threads of a library for numbers would be many, and do not survive a fork.
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    child = await asyncio.create_subprocess_exec(sys.executable, str(PROGRAM), stdin=pipe, stdout=pipe, env=environ)
    steps = Steps(child)
    await child.stdout.readline()  # it has imported everything: no plan is to wait for that
    following = asyncio.create_task(steps.follow())
    try:
        yield steps
    finally:
        child.stdin.close()
        await child.wait()
        await following
