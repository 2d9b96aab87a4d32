"""A proxy between those who use a bucket and its server: it counts requests by signature, and does what a plan says.

Each caller has a port of its own, so that the proxy knows who asks. What a signature covers passes as it came.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from s3_actions import ACTIONS, Answer
from s3_plan import Fault, StoragePlan, name_kind
from s3_server import S3Server
from yarl import URL

# Of one connection, not of what goes over it.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}


@dataclass
class Call:
    """One request, as far as it is understood."""

    caller: str
    """operator, or <step>/<pod>."""
    operation: str
    key: str
    """Below the run's folder; of a LIST its prefix."""
    path: str
    """With the bucket, as it came."""
    headers: dict[str, str]
    body: bytes
    method: str
    bucket: str
    full_key: str

    @property
    def signature(self) -> str:
        """Who asks what for which kind of object: names of pods and units left out."""
        return f"{self.caller.partition('/')[0]} {self.operation} {name_kind(self.key)}"


@dataclass
class Seen:
    """What a proxy remembers of its bucket."""

    counts: Counter[str] = field(default_factory=Counter)
    """Requests by signature."""
    commits: dict[str, list[str]] = field(default_factory=dict)
    """Digests of what was written to each key, in order."""
    trace: list[str] = field(default_factory=list)
    """Each request in one line."""
    fired: list[Fault] = field(default_factory=list)
    """Faults as they happened."""


class StorageProxy:
    """Serves one bucket's callers; `kill` ends the process of a caller."""

    def __init__(self, server: S3Server, bucket: str, folder: str, plan: StoragePlan) -> None:
        self.server, self.bucket, self.folder, self.plan = server, bucket, folder, plan
        self.seen = Seen()
        self.kill: Callable[[str], None] = lambda caller: None
        self.away_until = 0.0
        """By the loop's clock: until then nobody is answered."""
        self._callers: dict[int, str] = {}

    async def __aenter__(self) -> StorageProxy:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def open_door(self, caller: str) -> str:
        """Return the address of a caller's own port."""
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[-1][1]
        self._callers[port] = caller
        return f"http://127.0.0.1:{port}"

    async def forward(self, call: Call) -> Answer:
        """Ask the server; what it took is remembered."""
        address = URL(f"{self.server.url}{call.path}", encoded=True)
        headers = {k: v for k, v in call.headers.items() if k.lower() not in HOP_BY_HOP}
        async with self._session.request(call.method, address, headers=headers, data=call.body or None) as got:
            kept = {k: v for k, v in got.headers.items() if k.lower() not in {*HOP_BY_HOP, "content-length"}}
            answer = Answer(got.status, kept, await got.read(), got.headers.get("Content-Length", ""))
        if answer.status < 300 and call.operation in ("PUT", "CREATE"):
            self.commit(call)
        return answer

    def commit(self, call: Call) -> None:
        """Remember what was written."""
        self.seen.commits.setdefault(call.key, []).append(hashlib.sha256(call.body).hexdigest()[:16])

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = self._parse(request, await request.read())
        self.seen.counts[call.signature] += 1
        fault = self._find_fault(call.signature)
        if self.away_until > asyncio.get_running_loop().time():
            request.transport.abort()
            return web.Response(status=503)
        if fault is None:
            answer: Answer | None = await self.forward(call)
        else:
            self.seen.fired.append(fault)
            answer = await ACTIONS[fault.action](self, call, fault, request)
        said = f"{answer.status if answer else '-'} {fault.action if fault else ''}"
        self.seen.trace.append(f"{call.caller} {call.operation} {call.key} {said}")
        return self._build_response(call, answer, request)

    def _build_response(self, call: Call, answer: Answer | None, request: web.Request) -> web.StreamResponse:
        if answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        headers = dict(answer.headers)
        if call.method == "HEAD" and answer.length:
            headers["Content-Length"] = answer.length
        return web.Response(status=answer.status, headers=headers, body=answer.body)

    def _find_fault(self, signature: str) -> Fault | None:
        number = self.seen.counts[signature]
        for fault in self.plan.faults:
            if fault.signature == signature and fault.occurrence <= number < fault.occurrence + fault.times:
                return fault
        return None

    def _parse(self, request: web.Request, body: bytes) -> Call:
        caller = self._callers[request.transport.get_extra_info("sockname")[1]]
        _, bucket, *rest = request.path.split("/", 2)
        key, operation = "".join(rest), request.method
        if operation == "PUT" and request.headers.get("If-None-Match") == "*":
            operation = "CREATE"
        elif operation == "POST" and "delete" in request.query:
            operation, key = "DELETE", re.search(rb"<Key>(.*?)</Key>", body)[1].decode()
        elif operation == "GET" and "list-type" in request.query:
            operation, key = "LIST", request.query.get("prefix", "")
        here = key.removeprefix(f"{self.folder}/")
        return Call(caller, operation, here, request.raw_path, dict(request.headers), body, request.method, bucket, key)
