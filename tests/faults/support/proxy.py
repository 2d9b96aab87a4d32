"""The fault proxy: one operator reaches the API server through it, sees one namespace, and leaves a trace."""

import asyncio
import random
import socket
import struct
from contextlib import AsyncExitStack
from dataclasses import dataclass

from actions import BROKEN, Answer, act
from aiohttp import ClientError, web
from fault_plan import Triggers
from journal import Journal
from sightings import parse_manifest
from signatures import Call, narrow, parse_call
from staleness import Staleness
from tracing import Trace
from upstream import lines, passed_on, reach
from watch_lines import Broke, LineFaults

MAX_BODY = 16 * 2**20
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    call: Call
    method: str
    path: str
    query: str
    headers: dict
    body: bytes
    before: str = ""
    """Version of the object that the proxy knew when it came: a watch may tell of a write before its answer does."""

    @property
    def agent(self):
        """Who asks, without its version."""
        return self.headers.get("User-Agent", "").partition("/")[0]


async def no_servers(asked):
    """Answer for model servers where there are none."""
    return 503, b'{"error": "no server is there"}'


class Proxy:
    """A proxy before one API server for one operator, while its `async with` block runs; `url` is where it listens.

    Lists and watches of all namespaces are narrowed to `namespace`. `kill()` ends the operator at once; it may be a
    coroutine function. `servers` is awaited with what was Asked of a model server (`asked.call` has resource, name with
    port, and in `rest` the path there); it returns status and body. `fired` are the faults that happened.
    """

    def __init__(self, ground, namespace, plan=None, kill=lambda: None, trace=None, servers=no_servers):
        self._ground, self._namespace, self._kill, self._servers = ground, namespace, kill, servers
        self._triggers = Triggers(plan)
        self._chance = random.Random(plan.seed if plan is not None else 0)
        self.trace = trace or Trace()
        self.fired = self._triggers.fired
        self.url = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        self._journal = Journal(self.trace)
        self._staleness = Staleness(self._journal.seen)
        self._lines = LineFaults(self._triggers, self._journal.milestones, self._chance, self._end_operator)
        async with AsyncExitStack() as stack:
            stack.callback(self.trace.close)
            self._upstream = await stack.enter_async_context(reach(self._ground))
            app = web.Application(client_max_size=MAX_BODY)
            app.router.add_route("*", "/{path:.*}", self._handle)
            # A watch ends with its client: what an operator that is gone would have seen must not count.
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.callback(self._staleness.close)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    async def _end_operator(self, lag=None):
        ended = self._kill()
        if ended is not None:
            await ended
