"""A model server of the mock in this process, that remembers which units asked it."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web
from doors import opened

from toolorch_mock.arguments import parse_options
from toolorch_mock.brains.registry import find_model
from toolorch_mock.engine import Engine
from toolorch_mock.faults import FaultSettings
from toolorch_mock.server import Server

LATENCY_MS = 30
"""Long enough that shards share their units, as they do over real models."""


@dataclass
class Models:
    """One server; each run asks it by an address of its own, so that its calls are its own."""

    url: str
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    """Calls by run and unit."""

    def endpoints(self, run: str) -> str:
        """Return endpoints.json of a pool of this server alone."""
        server = {"name": "agent-0", "url": f"{self.url}/{run}/v1", "ready": True}
        return json.dumps({"model": "m", "servedModelName": "tiny", "generation": 1, "endpoints": [server]})


@contextlib.asynccontextmanager
async def serve_models() -> AsyncIterator[Models]:
    """Serve while the block runs."""
    models = Models("")
    options = parse_options(["serve", "some/model", "--served-model-name", "tiny"])
    engine = Engine(FaultSettings(latency_ms=LATENCY_MS), None, lambda: None)
    server = Server(options, find_model("some/model"), engine, lambda *_: None)

    async def chat(request: web.Request) -> web.StreamResponse:
        run, unit = request.match_info["run"], "/".join(request.headers["X-Request-Id"].split("/")[1:-2])
        models.calls.setdefault(run, Counter())[unit] += 1
        return await server._chat(request)

    app = web.Application()
    app.router.add_post("/{run}/v1/chat/completions", chat)
    async with opened(app, shutdown_timeout=0.1) as models.url:
        yield models
