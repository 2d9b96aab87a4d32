"""Answers of a model server that wants to harm the pod which asks it: read up to a bound, and one unit's trouble."""

import gzip

import httpx2
import openai
import pytest

from toolorch_evaluator.bounded import BoundedTransport
from toolorch_evaluator.refusals import Trouble
from toolorch_evaluator.sending import Request, send

EVENT = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
STREAM = {"Content-Type": "text/event-stream"}


@pytest.fixture
def ask():
    """Send one call to a server that repeats a piece for ever; return what became of it, and how often it was sent."""

    async def ask(piece, headers, stream=False):
        sent = 0

        async def endless():
            nonlocal sent
            while True:
                sent += 1
                yield piece

        def answer(request):
            assert request.headers["Accept-Encoding"] == "identity"
            return httpx2.Response(200, headers=headers, content=endless())

        async with httpx2.AsyncClient(transport=BoundedTransport(httpx2.MockTransport(answer), most=1000)) as http:
            client = openai.AsyncOpenAI(api_key="x", base_url="http://m/v1", max_retries=0, http_client=http)
            return await send(client, Request({"model": "m", "messages": []}, "id", 60.0, stream)), sent

    return ask


@pytest.mark.parametrize(
    ("piece", "headers", "stream"),
    [(b"x" * 50, {}, False), (b"x" * 50, STREAM, True), (EVENT, STREAM, True)],
    ids=["a whole answer", "one line of a stream", "events of a stream"],
)
async def test_an_answer_without_end_is_read_up_to_a_bound(ask, piece, headers, stream):
    trouble, sent = await ask(piece, headers, stream)
    assert trouble == Trouble("model_server_error", "the answer has more than 1000 bytes", passing=True)
    assert sent <= 1000 // len(piece) + 1


async def test_a_compressed_answer_is_not_unpacked(ask):
    trouble, sent = await ask(gzip.compress(b"0" * 10_000), {"Content-Encoding": "gzip"})
    assert trouble == Trouble("model_server_error", "the answer is compressed, which nobody asked for", passing=True)
    assert sent == 0
