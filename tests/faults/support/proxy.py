"""The fault proxy: one operator reaches the API server through it, sees one namespace, and leaves a trace."""

import asyncio
import hashlib
import json
from contextlib import AsyncExitStack
from dataclasses import dataclass

from aiohttp import ClientError, web
from aiohttp.client_exceptions import ClientConnectionResetError
from sightings import Sightings, parse_manifest
from signatures import Call, line_signature, narrow, parse_call
from tracing import Trace
from upstream import lines, passed_on, reach

MAX_BODY = 16 * 2**20
NO_SERVER = (503, b'{"error": "nobody answers for model servers"}')


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    call: Call
    method: str
    path: str
    query: str
    headers: dict
    body: bytes


async def no_servers(asked):
    """Answer for model servers where there are none."""
    return NO_SERVER


class Proxy:
    """A proxy before one API server for one operator, while its `async with` block runs; `url` is where it listens.

    Lists and watches of all namespaces are narrowed to `namespace`. `kill()` ends the operator at once. `servers` is
    awaited with what was Asked of a model server (`asked.call`: resource, name with port, rest); it returns status and
    body.
    """

    def __init__(self, ground, namespace, plan=None, kill=lambda: None, trace=None, servers=no_servers):
        self._ground, self._namespace, self._plan, self._kill = ground, namespace, plan, kill
        self._servers = servers
        self.trace = trace or Trace()
        self.seen = Sightings()
        self.url = ""
        self._stack = AsyncExitStack()

    async def __aenter__(self):
        self._began = asyncio.get_running_loop().time()
        self._upstream = await self._stack.enter_async_context(reach(self._ground))
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # A watch ends with its client: what an operator that is gone would have seen must not count.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()
        self.trace.close()

    async def _handle(self, request):
        path, _, query = request.raw_path.partition("?")
        body = await request.read()
        call = parse_call(request.method, path, request.query, body)
        asked = Asked(call, request.method, narrow(call, path, self._namespace), query, dict(request.headers), body)
        if call.verb == "watch":
            return await self._watch(request, asked)
        # What has been sent on is done, and belongs in the trace, even where its sender is gone.
        return await asyncio.shield(asyncio.ensure_future(self._answer(asked)))

    async def _answer(self, asked):
        if asked.call.verb == "proxy":
            status, body = await self._servers(asked)
            self._record(asked, status, body)
            return web.Response(status=status, body=body, content_type="application/json")
        try:
            status, headers, body = await self._upstream.ask(
                asked.method, asked.path, asked.query, asked.headers, asked.body
            )
        except (ClientError, OSError) as error:
            self._record(asked, 0, b"", fault=f"upstream: {error}")
            return web.Response(status=502, text=str(error))
        self._record(asked, status, body)
        return web.Response(status=status, headers=headers, body=body)

    async def _watch(self, request, asked):
        async with self._upstream.watch(asked.path, asked.query, asked.headers) as answer:
            self._record(asked, answer.status, b"")
            response = web.StreamResponse(status=answer.status, headers=passed_on(answer.headers))
            await response.prepare(request)
            try:
                async for line in lines(answer):
                    self._record_line(asked, parse_manifest(line))
                    await response.write(line)
            except (ClientError, ClientConnectionResetError, ConnectionError):
                return response
        return response

    def _record(self, asked, status, body, fault=""):
        call, manifest = asked.call, parse_manifest(body) if asked.call.verb != "proxy" else {}
        before = self.seen.newest.get(call.key, "")
        is_effective = self.seen.judge(call, status, manifest)
        if call.verb == "list" and status < 300:
            self.seen.see_list(call.resource, manifest)
        return self.trace.add(
            t=self._now(),
            verb=call.verb,
            key=call.key,
            signature=call.signature,
            status=status,
            rv_before=before,
            rv_after=self.seen.newest.get(call.key, ""),
            effective=is_effective,
            digest=hashlib.sha256(asked.body).hexdigest()[:12] if asked.body else "",
            agent=asked.headers.get("User-Agent", "").partition("/")[0],
            reconcile=asked.headers.get("X-Reconcile-Id", ""),
            fault=fault,
            sent=_parse_sent(asked.body) if call.is_write else None,
            answer=_without_fields(manifest) if is_effective else None,
        )

    def _record_line(self, asked, line, fault=""):
        type_, manifest = line.get("type", ""), line.get("object") or {}
        meta = manifest.get("metadata") or {}
        name, version = meta.get("name", ""), meta.get("resourceVersion", "")
        key = f"{asked.call.resource}/{name}" if name else asked.call.resource
        before = self.seen.newest.get(key, "")
        if name:
            (self.seen.lose if type_ == "DELETED" else self.seen.see)(key, version)
        return self.trace.add(
            t=self._now(),
            verb=type_,
            key=key,
            signature=line_signature(type_, manifest, asked.call.resource),
            rv_before=before,
            rv_after=version,
            fault=fault,
        )

    def _now(self):
        return round(asyncio.get_running_loop().time() - self._began, 3)


def _parse_sent(body):
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _without_fields(manifest):
    meta = {name: value for name, value in (manifest.get("metadata") or {}).items() if name != "managedFields"}
    return {**manifest, "metadata": meta}
