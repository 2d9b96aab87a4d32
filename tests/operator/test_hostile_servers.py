"""Model servers that anybody may run, and that want to harm the operator which asks them: bounded, and not followed."""

import asyncio
import gzip

import httpx
from aiohttp import web
from aiohttp.test_utils import TestServer

from toolorch_operator.bounded import BoundedTransport, open_client
from toolorch_operator.modelpool.observed import Probe
from toolorch_operator.models import probe, probe_external, read_progress

URL = "http://10.0.0.1:8000/v1"


async def ask(answer, question=probe, most=100):
    transport = BoundedTransport(httpx.MockTransport(answer), most)
    async with httpx.AsyncClient(transport=transport) as client:
        return await question(URL, client)


async def test_an_answer_without_end_is_read_up_to_a_bound():
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 10
            yield b"x" * 10

    def answer(_):
        return httpx.Response(200, content=endless())

    assert await ask(answer) == Probe(False, error="no usable answer: DecodingError")
    assert sent <= 120
    assert await ask(answer, read_progress) is None


async def test_a_compressed_answer_is_not_unpacked():
    bomb = gzip.compress(b"0" * 10_000)
    seen = []

    def answer(request):
        seen.append(request.headers["Accept-Encoding"])
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(bomb))

    assert await ask(answer) == Probe(False, error="no usable answer: DecodingError")
    assert seen == ["identity"]


async def test_a_list_of_models_of_any_depth_is_none():
    def answer(_):
        return httpx.Response(200, content=b'{"data": ' + b"[" * 200_000)

    assert await ask(answer, probe_external, most=1_000_000) == Probe(False, error="no usable answer: ValueError")


async def test_an_answer_that_trickles_in_for_ever_has_its_time():
    async def trickle():
        while True:
            yield b" "
            await asyncio.sleep(0.005)

    async def ask_briefly(url, client):
        return await probe_external(url, client, 0.02)

    found = await ask(lambda _: httpx.Response(200, content=trickle()), ask_briefly, most=1_000_000)
    assert found == Probe(False, error="no usable answer: TimeoutError")


async def test_a_server_that_points_elsewhere_is_not_followed():
    asked = []

    async def answer(request):
        asked.append(request.path)
        if request.path == "/v1/models":
            raise web.HTTPFound("/elsewhere")
        return web.json_response({"data": [{"id": "a"}]})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server, open_client() as client:
        assert not (await probe_external(str(server.make_url("/v1")), client)).healthy
        assert (await probe_external(str(server.make_url("/other")), client)).healthy
    assert asked == ["/v1/models", "/other/models"]


async def test_however_many_servers_keep_a_question_waiting_the_others_are_asked():
    waiting, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def hang(_):
        waiting.release()
        await go_on.wait()
        return web.Response()

    async def answer(_):
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/hang", hang), web.get("/answer", answer)])
    async with TestServer(app) as server, open_client() as client, asyncio.TaskGroup() as hanging:
        for _ in range(110):  # httpx's own limit is 100
            hanging.create_task(client.get(str(server.make_url("/hang")), timeout=60))
        for _ in range(110):
            await waiting.acquire()
        assert (await client.get(str(server.make_url("/answer")), timeout=60)).status_code == 200
        go_on.set()
