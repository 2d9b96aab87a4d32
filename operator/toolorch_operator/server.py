"""Answers /metrics, /healthz and /readyz. EDGE."""

from __future__ import annotations

import socket
from collections.abc import Callable

from aiohttp import web

from toolorch_operator.metrics import Metrics
from toolorch_operator.workqueue import WorkQueue

Check = Callable[[], str]
"""Returns what is wrong, or an empty text."""


async def serve(port: int, metrics: Metrics, queue: WorkQueue, alive: Check, ready: Check) -> tuple[web.AppRunner, int]:
    """Start to answer on a port (0: any free one); return the runner to clean up, and the port."""

    async def render(_: web.Request) -> web.Response:
        metrics.queue_depth.set(queue.depth)
        metrics.queue_lag.set(queue.lag)
        return web.Response(body=metrics.render(), content_type="text/plain", charset="utf-8")

    async def healthz(_: web.Request) -> web.Response:
        return _answer(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(alive() or ready())

    app = web.Application()
    app.router.add_get("/metrics", render)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    listening = _listen(port)
    await web.SockSite(runner, listening).start()
    return runner, listening.getsockname()[1]


def _listen(port: int) -> socket.socket:
    # One socket for both families: a free port is then one port, and clusters have either.
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _answer(wrong: str) -> web.Response:
    return web.Response(status=503 if wrong else 200, text=(wrong or "ok") + "\n")
