"""What can be done to the lines of a watch. Nothing here changes their order: versions only grow, as in earnest.

kill: the operator is killed, and has not seen the line. drop: it never comes; a later version of the object does.
dup: it comes twice. hold: it, and all after it, come `seconds` later, or once a request or line of the signature `seen`
was there. truncate: half of it comes, then the connection breaks. error: ERROR with `code` comes in its place, and the
stream ends. cut: the stream ends before it.
"""

import asyncio
import json

from actions import build_status
from signatures import matches


class Broke(Exception):
    """The connection breaks here."""


class Milestones:
    """Signatures that somebody waits for."""

    def __init__(self):
        self._waiting = []

    def note(self, signature):
        """Wake those who wait for a signature."""
        for pattern, reached in self._waiting:
            if matches(signature, pattern):
                reached.set()

    async def reach(self, pattern):
        """Wait until a signature like a pattern is noted."""
        waiting = (pattern, asyncio.Event())
        self._waiting.append(waiting)
        try:
            await waiting[1].wait()
        finally:
            self._waiting.remove(waiting)


class LineFaults:
    """Passes lines on, as the plan will have it; `chance` is a random.Random of the plan's seed."""

    def __init__(self, milestones, chance, kill):
        self._milestones, self._chance, self._kill = milestones, chance, kill

    async def send(self, faults, line, write):
        """Pass one line on by awaiting `write(bytes)`, as its faults will have it; tell whether the stream goes on.

        Raises Broke where the connection is to break.
        """
        copies, goes_on = 1, True
        for fault in faults:
            if fault.action == "hold":
                await self._hold(fault)
            elif fault.action == "kill":
                await self._kill(fault)
                raise Broke
            elif fault.action == "truncate":
                await write(line[: self._chance.randrange(1, len(line) - 1)])
                # Else the two halves of the fault, bytes and break, would come as one break.
                await asyncio.sleep(0.05)
                raise Broke
            elif fault.action in ("error", "cut"):
                copies, goes_on = 0, False
                if fault.action == "error":
                    await write(_error_line(**fault.arguments))
            else:
                copies = {"drop": 0, "dup": 2}[fault.action]
        for _ in range(copies):
            await write(line)
        return goes_on

    async def _hold(self, fault):
        if "seen" in fault.arguments:
            await self._milestones.reach(fault.arguments["seen"])
        await asyncio.sleep(fault.arguments.get("seconds", 0))


def _error_line(code, reason="", message=""):
    return json.dumps({"type": "ERROR", "object": build_status(code, reason, message)}).encode() + b"\n"
