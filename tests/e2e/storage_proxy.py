"""A reverse proxy in front of an S3 server that answers as it is told: it runs in the mock's image, alone.

usage: storage_proxy.py UPSTREAM PORT

POST /-/faults takes what goes wrong from now on, in place of what went wrong before; GET /-/faults tells it, with the
seconds that are left, and how many requests were answered so. Everything else goes on to the server, Host included:
signatures hold.
"""

import asyncio
import sys
import time

from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web
from yarl import URL

# Of one connection, not of what goes over it.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}
MAX_BODY = 64 * 2**20


class Faults:
    """What goes wrong: `status` is the answer of every request for so many `seconds`."""

    def __init__(self):
        self.status, self.until, self.refused = 0, 0.0, 0

    def order(self, status=0, seconds=0.0):
        """Begin to answer with a status; 0 ends it."""
        self.status, self.until = status, time.monotonic() + seconds

    def told(self):
        """Tell what is left of it."""
        left = max(0.0, self.until - time.monotonic()) if self.status else 0.0
        return {"status": self.status if left else 0, "seconds": round(left, 1), "refused": self.refused}

    def answer(self):
        """Return the answer that takes the server's place, or None."""
        if not self.told()["status"]:
            return None
        self.refused += 1
        body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
        return web.Response(status=self.status, text=body, content_type="application/xml")


class Proxy:
    """Hands requests on to the server, unless a fault is in force."""

    def __init__(self, upstream):
        self.upstream, self.faults, self.session = upstream, Faults(), None

    async def control(self, request):
        """Take or tell faults."""
        if request.method == "POST":
            self.faults.order(**await request.json())
        return web.json_response(self.faults.told())

    async def forward(self, request):
        """Answer one request."""
        body = await request.read()
        if (answer := self.faults.answer()) is not None:
            return answer
        # Encoded as it came: the signature covers the path.
        address = URL(f"{self.upstream}{request.raw_path}", encoded=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        async with self.session.request(
            request.method, address, headers=headers, data=body or None, allow_redirects=False
        ) as got:
            kept = {k: v for k, v in got.headers.items() if k.lower() not in {*HOP_BY_HOP, "content-length"}}
            content = await got.read()
        if request.method == "HEAD" and "Content-Length" in got.headers:
            kept["Content-Length"] = got.headers["Content-Length"]
        return web.Response(status=got.status, headers=kept, body=content)


async def main(upstream, port):
    """Serve until SIGTERM."""
    proxy = Proxy(upstream)
    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/-/faults", proxy.control)
    app.router.add_route("*", "/{path:.*}", proxy.forward)
    async with ClientSession(auto_decompress=False, connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar()) as s:
        proxy.session = s
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
