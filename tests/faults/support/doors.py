"""Opens an application of aiohttp on a port of the loopback."""

from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def opened(app, **ways):
    """Serve an application on a free port and give its address; `ways` are AppRunner's."""
    runner = web.AppRunner(app, access_log=None, **ways)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
