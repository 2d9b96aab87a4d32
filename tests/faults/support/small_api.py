"""An API server of a few lines: objects with versions, lists and watches. It is what tests of the proxy itself need."""

import asyncio
import json

from aiohttp import web


class SmallApi:
    """Objects by path, while its `async with` block runs; `calls` are (method, path) as they came."""

    token, ca = "small", ""

    def __init__(self):
        self.objects, self.calls, self.version = {}, [], 100
        self._history, self._news = [], asyncio.Condition()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def put(self, path, type_=None, **fields):
        """Make an object at a path hold fields; where it holds them already nothing changes."""
        before = self.objects.get(path)
        if before is not None and {**before, **fields} == before and type_ != "DELETED":
            return before
        self.version += 1
        meta = {"name": path.rpartition("/")[2], "resourceVersion": str(self.version)}
        made = {**(before or {}), **fields, "kind": "Thing", "metadata": meta}
        self.objects[path] = made
        if type_ == "DELETED":
            del self.objects[path]
        self._history.append((self.version, path, type_ or ("MODIFIED" if before else "ADDED"), made))
        async with self._news:
            self._news.notify_all()
        return made

    async def _handle(self, request):
        path = request.path
        self.calls.append((request.method, path))
        if request.query.get("watch"):
            return await self._watch(request, path)
        body = await request.json() if request.can_read_body else {}
        if request.method == "POST":
            return await self._create(f"{path}/{body['metadata']['name']}", body)
        if request.method in ("PUT", "PATCH"):
            return web.json_response(await self.put(path, spec=body.get("spec")))
        if path not in self.objects:
            return self._list(request, path)
        if request.method == "DELETE":
            await self.put(path, "DELETED")
            return web.json_response({"kind": "Status", "status": "Success"})
        return web.json_response(self.objects[path])

    async def _create(self, path, body):
        if path in self.objects:
            return web.json_response({"kind": "Status", "code": 409, "reason": "AlreadyExists"}, status=409)
        return web.json_response(await self.put(path, spec=body.get("spec")), status=201)

    def _list(self, request, path):
        until = int(request.query.get("resourceVersion") or self.version)
        there = {}
        for version, at, type_, made in self._history:
            if version <= until and at.rpartition("/")[0] == path:
                there[at] = made if type_ != "DELETED" else None
        items = [made for made in there.values() if made is not None]
        return web.json_response({"kind": "ThingList", "metadata": {"resourceVersion": str(until)}, "items": items})

    async def _watch(self, request, path):
        since = int(request.query.get("resourceVersion") or self.version)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            for version, at, type_, made in list(self._history):
                if version > since and at.rpartition("/")[0] == path:
                    await response.write(json.dumps({"type": type_, "object": made}).encode() + b"\n")
                since = max(since, version)
            async with self._news:
                while self.version <= since:
                    await self._news.wait()
