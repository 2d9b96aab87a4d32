"""The sandbox: programs in, outcomes out, each from a fresh process that leaves nothing behind. EDGE."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from toolorch_evaluator.sandbox.errors import KeeperError, SandboxUnavailableError
from toolorch_evaluator.sandbox.reach import PACKAGES, readable, search_path, sites
from toolorch_evaluator.sandbox.scratch import remove_tree
from toolorch_evaluator.sandbox.terms import REQUIRED, Layer, Layers, Limits, Outcome, outcome

# The folder that holds the package: the keeper imports it from there, past any site-packages.
_ROOT = str(Path(__file__).parents[2])
_START = (
    "import sys; root = sys.argv.pop(); sys.path.append(root); "
    "from toolorch_evaluator.sandbox.keeper import main; sys.path.remove(root); main()"
)
_COMMAND = (sys.executable, "-I", "-S", "-u", "-X", "utf8", "-c", _START, _ROOT)
# Several programs run side by side: a library that starts a thread per core in each would only slow all of them.
# And glibc sets 64 MB of address space aside for each thread that allocates, unless told to keep to one arena.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "MALLOC_ARENA_MAX": "1"} | dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
# The limits that are the keeper's to hold.
_LOOKED_AFTER = ("wall_seconds", "output_bytes", "scratch_bytes", "scratch_files", "threads")
# The keeper ends its program in time. Should it not, on a machine that is overrun, it is ended itself after this.
_GRACE_SECONDS = 20.0
# What a keeper needs to end all that it started, once it is told to.
_END_SECONDS = 5.0


class Sandbox:
    """Runs programs under the layers that `open` found to work."""

    def __init__(
        self, layers: Collection[Layer], limits: Limits, *, concurrency: int = 4, folder: str | None = None
    ) -> None:
        """Take layers as given; all of them are required in each run. `folder` holds the scratch folders."""
        self.layers = tuple(layers)
        self.limits = limits
        self.folder = folder or tempfile.gettempdir()
        self._room = asyncio.Semaphore(concurrency)
        self._order: dict[str, Any] = {
            "layers": [*self.layers],
            "required": [*self.layers],
            "readable": readable(),
            "search": search_path(),
            "packages": PACKAGES,
            "sites": sites(),
            "rlimits": limits.rlimits(own_users=Layer.NAMESPACES in self.layers),
            **{name: getattr(limits, name) for name in _LOOKED_AFTER},
        }

    @classmethod
    async def open(
        cls,
        limits: Limits | None = None,
        *,
        concurrency: int = 4,
        allow_weaker: bool = False,
        folder: str | None = None,
    ) -> Self:
        """Open a sandbox over the layers that work here.

        Raises SandboxUnavailableError where one that is needed does not, unless `allow_weaker`.
        """
        from toolorch_evaluator.sandbox.probe import probe

        layers = await probe(folder)
        if not allow_weaker:
            refuse_gaps(layers)
        return cls(layers.working, limits or Limits(), concurrency=concurrency, folder=folder)

    async def run(self, program: str) -> Outcome:
        """Run a program to its end; raises KeeperError where that could not be done, or not under all layers."""
        report = await self.report(program, required=self.layers)
        return outcome(report, self.limits, self.layers)

    async def report(self, program: str, required: Collection[Layer]) -> dict[str, Any]:
        """Run a program where only some layers are required; returns the keeper's report as it is."""
        async with self._room:
            try:
                return await self._in_scratch(program, required)
            except OSError as error:
                raise KeeperError(f"a program could not be started: {error}") from error

    async def _in_scratch(self, program: str, required: Collection[Layer]) -> dict[str, Any]:
        scratch = tempfile.mkdtemp(prefix="program-", dir=self.folder)
        try:
            order = {**self._order, "required": [*required], "program": program, "scratch": scratch}
            return await self._keep(json.dumps(order).encode(), scratch)
        finally:
            # In this thread: a task that is being cancelled gets to no other one, and there is little to remove.
            remove_tree(scratch)

    async def _keep(self, order: bytes, scratch: str) -> dict[str, Any]:
        keeper = await _start({**_ENVIRONMENT, "HOME": scratch, "TMPDIR": scratch})
        try:
            async with asyncio.timeout(self.limits.wall_seconds + _GRACE_SECONDS):
                out, err = await keeper.communicate(order)
        except TimeoutError as error:
            raise KeeperError("the keeper of a program did not answer") from error
        finally:
            await _end(keeper)
        if keeper.returncode or not out:
            raise KeeperError(f"the keeper of a program ended with {keeper.returncode}: {err.decode()[-300:]}".strip())
        report: dict[str, Any] = json.loads(out)
        return report


async def _start(environment: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a keeper, to the end of its start even when cancelled meanwhile: asyncio loses what it has half started."""
    pipe = asyncio.subprocess.PIPE
    start = asyncio.create_subprocess_exec(
        *_COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, cwd="/", start_new_session=True
    )
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


async def _end(keeper: asyncio.subprocess.Process) -> None:
    """See to it that a keeper is gone, with all that it started."""
    for stop in (keeper.terminate, keeper.kill):
        if keeper.returncode is not None:
            return
        with suppress(ProcessLookupError, TimeoutError):
            stop()
            async with asyncio.timeout(_END_SECONDS):
                await keeper.wait()


def refuse_gaps(layers: Layers) -> None:
    """Raise SandboxUnavailableError for the first needed layer that does not work."""
    for layer in REQUIRED:
        if layer in layers.missing:
            raise SandboxUnavailableError(
                f"the sandbox layer {layer} does not work here ({layers.missing[layer]}): {_REMEDIES[layer]}, "
                "or allow the weaker sandbox"
            )
    if not layers.kill:
        raise SandboxUnavailableError("a program that sleeps is not ended in time here: the machine is overrun")


_LANDLOCK_REMEDY = (
    "use nodes with Linux 5.13 or later that have landlock in their list of security modules; gVisor has none"
)
_REMEDIES = {
    Layer.NO_NEW_PRIVS: "use a container runtime that passes prctl(PR_SET_NO_NEW_PRIVS) on",
    Layer.RLIMITS: "raise the pod's own limits above those of a program",
    Layer.LANDLOCK: _LANDLOCK_REMEDY,
    Layer.CAPABILITIES: "run the pod as a user who is not root",
    Layer.SECCOMP: f"use x86-64 or aarch64 nodes (this is {os.uname().machine}) whose runtime allows seccomp filters",
}
