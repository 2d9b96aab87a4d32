"""The fault proxy: one operator reaches the API server through it, sees one namespace, and leaves a trace."""

import asyncio
import random
import socket
import struct
from contextlib import AsyncExitStack
from dataclasses import dataclass

from actions import BROKEN, Answer, act
from aiohttp import ClientError, web
from doors import opened
from fault_plan import Triggers
from journal import Journal
from sightings import parse_manifest
from signatures import Call, line_signature, narrow, parse_call
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
        self._lines = LineFaults(self._journal.milestones, self._chance, self._end_operator)
        async with AsyncExitStack() as stack:
            stack.callback(self.trace.close)
            self._upstream = await stack.enter_async_context(reach(self._ground))
            app = web.Application(client_max_size=MAX_BODY)
            app.router.add_route("*", "/{path:.*}", self._handle)
            # A watch ends with its client: what an operator that is gone would have seen must not count.
            way_in = opened(app, handler_cancellation=True, shutdown_timeout=0.2)
            self.url = await stack.enter_async_context(way_in)
            stack.callback(self._staleness.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    async def _handle(self, request):
        path, _, query = request.raw_path.partition("?")
        body = await request.read()
        call = parse_call(request.method, path, request.query, body)
        to, before = narrow(call, path, self._namespace), self._journal.seen.newest.get(call.key, "")
        asked = Asked(call, request.method, to, query, dict(request.headers), body, before)
        if call.verb == "watch":
            answer = await self._watch(request, asked)
        else:
            # What has been sent on is done, and belongs in the trace, even where its sender is gone.
            answer = await asyncio.shield(asyncio.ensure_future(self._answer(asked)))
        if isinstance(answer, Answer):
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        return _break(request) if answer is BROKEN else answer

    async def _answer(self, asked):
        """Return what the sender of a request gets: an Answer or BROKEN."""
        faults = self._triggers.take("before", asked.call.signature)
        answer = await act(faults, None, self._end_operator)
        if answer is not None:
            self._journal.record(asked, getattr(answer, "status", 0), faults)
            return answer
        answer = await self._ask(asked)
        judged = self._journal.judge(asked, answer.status, answer.body)
        later = self._triggers.take("after", asked.call.signature, effective=judged["effective"])
        self._journal.record(asked, answer.status, (*faults, *later), **judged)
        return await act(later, answer, self._end_operator)

    async def _ask(self, asked):
        if asked.call.verb == "proxy":
            return Answer(*await self._servers(asked))
        for fault in self._triggers.take("list", asked.call.signature) if asked.call.verb == "list" else ():
            self._staleness.begin(**fault.arguments)
        query = self._staleness.query(asked.call, asked.query, asked.agent)
        try:
            status, headers, body = await self._upstream.ask(asked.method, asked.path, query, asked.headers, asked.body)
        except (ClientError, OSError) as error:
            return Answer(502, str(error).encode())
        return Answer(status, body, headers)

    async def _watch(self, request, asked):
        faults = self._triggers.take("before", asked.call.signature)
        cuts = [fault for fault in faults if fault.action == "cut"]
        answer = await act([fault for fault in faults if fault not in cuts], None, self._end_operator)
        if answer is not None:
            self._journal.record(asked, getattr(answer, "status", 0), faults)
            return answer
        query = self._staleness.query(asked.call, asked.query, asked.agent)
        async with self._upstream.watch(asked.path, query, asked.headers) as source:
            self._journal.record(asked, source.status, faults)
            response = web.StreamResponse(status=source.status, headers=passed_on(source.headers))
            try:
                await response.prepare(request)
                async with asyncio.timeout(cuts[0].arguments["seconds"] if cuts else None):
                    await self._pass_on(asked.call.resource, source, response)
            except TimeoutError:
                return BROKEN if cuts[0].arguments.get("breaks") else response
            except Broke:
                return BROKEN
            except (ClientError, ConnectionError):
                return response
        return response

    async def _pass_on(self, resource, source, response):
        async for line in lines(source):
            said = parse_manifest(line)
            meta = (said.get("object") or {}).get("metadata") or {}
            faults = self._triggers.take("line", line_signature(said, resource))
            self._journal.record_line(resource, said, faults)
            await self._staleness.wait(meta.get("resourceVersion", ""))
            if not await self._lines.send(faults, line, response.write):
                return

    async def _end_operator(self, fault):
        if "events" in fault.arguments:
            self._staleness.arm(**fault.arguments)
        ended = self._kill()
        if ended is not None:
            await ended


def _break(request):
    """End a connection in the midst of whatever it is: its other end gets an error, not an end."""
    if request.transport is not None:
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        request.transport.abort()
    return web.Response()
