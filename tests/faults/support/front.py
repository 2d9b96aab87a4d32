"""A door before the API server that answers for model servers in any namespace, and passes on the rest unread."""

from contextlib import asynccontextmanager

from aiohttp import ClientError, web
from doors import opened
from proxy import Asked
from signatures import parse_call
from upstream import passed_on, reach

MAX_BODY = 16 * 2**20


@asynccontextmanager
async def front(ground, find_servers):
    """Give the URL of the door; `find_servers(namespace)` returns who answers there, as for a Proxy."""
    async with reach(ground) as upstream:

        async def handle(request):
            path, _, query = request.raw_path.partition("?")
            body = await request.read()
            if request.query.get("watch") in ("true", "1"):
                return await follow(request, path, query)
            if "/proxy/" in path:
                call = parse_call(request.method, path, request.query)
                status, said = await find_servers(call.namespace)(Asked(call, request.method, path, query, {}, body))
                return web.Response(status=status, body=said, content_type="application/json")
            status, headers, said = await upstream.ask(request.method, path, query, request.headers, body)
            return web.Response(status=status, headers=headers, body=said)

        async def follow(request, path, query):
            async with upstream.watch(path, query, request.headers) as answer:
                response = web.StreamResponse(status=answer.status, headers=passed_on(answer.headers))
                await response.prepare(request)
                try:
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
                except (ClientError, ConnectionError):
                    pass
                return response

        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", handle)
        async with opened(app, handler_cancellation=True, shutdown_timeout=0.2) as url:
            yield url
