"""Operators as real processes, started by a zygote: 0.1 s each, and whatever ends one, its exit code is known."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from programs import END_SECONDS, die_with_parent

SUPPORT = Path(__file__).resolve().parent
IMPORT_SECONDS = 60
"""Seconds for the zygote's first answer: it imports for two on an idle core."""
START_SECONDS = 30
"""Seconds until an operator says that it watches."""
TUNE = {"resync_seconds": 3}
"""A hundredth of what users have: what an event should have said is noticed in seconds."""


class Operator:
    """One operator's process; `log` is the path of its JSON lines, `code` its exit code, None: it runs."""

    def __init__(self, pid, log):
        self.pid, self.log = pid, log
        self.code = None
        self._ended = asyncio.Event()

    def kill(self):
        """Kill it on the spot (SIGKILL): it has no moment for a last word."""
        self.send(signal.SIGKILL)

    def terminate(self):
        """Ask it to end in order (SIGTERM)."""
        self.send(signal.SIGTERM)

    def send(self, number):
        """Send it a signal; one that has ended gets none."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self, seconds=START_SECONDS):
        """Wait until it has ended and return its exit code, negative: by that signal."""
        async with asyncio.timeout(seconds):
            await self._ended.wait()
        return self.code

    async def started(self, seconds=START_SECONDS):
        """Wait until it watches and return the port of its probes."""
        return (await self.find_line("started", seconds))["port"]

    async def find_line(self, event, seconds=START_SECONDS):
        """Wait until its log says something and return that line."""
        async with asyncio.timeout(seconds):
            while not (found := [line for line in self.lines() if line.get("event") == event]):
                assert self.code is None, f"the operator ended with {self.code}:\n{self.log.read_text()[-3000:]}"
                await asyncio.sleep(0.05)
        return found[0]

    def lines(self):
        """Return what its log says so far; a line that is no JSON as {"event": the line}."""
        return [_parse(line) for line in self.log.read_text().splitlines()]

    def end(self, code):
        """Take note that it ended."""
        self.code = code
        self._ended.set()


class Operators:
    """Starts operators, for as long as its `async with` block runs; their logs lie in a folder."""

    def __init__(self, folder):
        self._folder = folder
        self._waiting = []
        self._running = {}
        self._count = 0

    async def __aenter__(self):
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            SUPPORT / "zygote.py",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        for operator in self._running.values():
            operator.kill()
        await asyncio.gather(*(operator.wait(END_SECONDS) for operator in list(self._running.values())))
        self._zygote.stdin.close()
        await asyncio.wait_for(self._zygote.wait(), END_SECONDS)
        await self._reader

    async def start(self, kubeconfig, name="operator", environ=None, **tune):
        """Start an operator and return it as soon as it has a process; `started` waits until it watches.

        `environ` is what `parse_settings` reads, beside the kubeconfig; `tune` changes fields of the settings, and
        `defaults` of it fields of their defaults.
        """
        self._count += 1
        log = self._folder / f"{name}-{self._count}.log"
        log.touch()
        settings = {"KUBECONFIG": str(kubeconfig), "TOOLORCH_HTTP_PORT": "0", **(environ or {})}
        asked = {
            "environ": {"PATH": os.environ["PATH"], **settings},
            "tune": {**TUNE, **tune},
            "log": str(log),
        }
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, log))
        self._zygote.stdin.write(json.dumps(asked).encode() + b"\n")
        return await asyncio.wait_for(answer, IMPORT_SECONDS)

    async def _read(self):
        while line := await self._zygote.stdout.readline():
            said = json.loads(line)
            if "code" in said:
                self._running.pop(said["pid"]).end(said["code"])
                continue
            answer, log = self._waiting.pop(0)
            operator = self._running[said["pid"]] = Operator(said["pid"], log)
            if not answer.done():
                answer.set_result(operator)
        for answer, _ in self._waiting:
            answer.set_exception(RuntimeError("the zygote ended"))


def _parse(line):
    try:
        return json.loads(line)
    except ValueError:
        return {"event": line}
