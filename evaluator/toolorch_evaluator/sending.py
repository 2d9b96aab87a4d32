"""One try at a call: the request goes out, and an answer comes back, or what became of it instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
import openai

from toolorch_evaluator.bounded import NoEndError
from toolorch_evaluator.refusals import Trouble, classify
from toolorch_evaluator.streaming import Assembly, StreamError, read_events
from toolorch_evaluator.wire import Answer, NotACompletionError, parse_answer

PATH = "/chat/completions"
# The connection was there and broke; one that never came about is a server that starts again.
BROKEN = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Request:
    """What goes to whichever server is tried: the body of a chat completion and how it is sent."""

    body: Mapping[str, Any]
    id: str
    seconds: float
    """Until the whole answer must be there."""
    stream: bool = False


async def send(client: openai.AsyncOpenAI, request: Request) -> Answer | Trouble:
    """Send a request once."""
    way = _stream if request.stream else _ask
    try:
        # The client's own timeout is per read: a server that drips bytes would never hit it.
        async with asyncio.timeout(request.seconds):
            return await way(client, request)
    except openai.APIStatusError as error:
        after = error.response.headers.get("retry-after")
        return _refused(client, request, error.status_code, error.response.text, after)
    except StreamError as error:
        return _refused(client, request, error.status, str(error))
    except NotACompletionError as error:
        return Trouble("model_server_error", f"no chat completion: {error}", passing=True)
    except openai.APIConnectionError as error:
        return _unanswered(error.__cause__ or error, request.seconds)
    except (TimeoutError, httpx2.TransportError) as error:
        return _unanswered(error, request.seconds)


async def _ask(client: openai.AsyncOpenAI, request: Request) -> Answer:
    # The typed call spends four times the CPU of a whole conversation step on checking our own request.
    response = await client.post(
        PATH, cast_to=httpx2.Response, body=request.body, options={"headers": {"X-Request-Id": request.id}}
    )
    return parse_answer(response.content)


async def _stream(client: openai.AsyncOpenAI, request: Request) -> Answer:
    began = time.monotonic()
    # The typed stream builds an object per piece; a raw one gives the response itself, whatever its type says.
    stream = await client.post(
        PATH,
        cast_to=httpx2.Response,
        body={**request.body, "stream": True, "stream_options": {"include_usage": True}},
        options={"headers": {"X-Request-Id": request.id}},
        stream=True,
        stream_cls=openai.AsyncStream[Any],
    )
    response = cast("httpx2.Response", stream)
    try:
        if "text/event-stream" not in response.headers.get("content-type", ""):
            return parse_answer(await response.aread())
        return await _assemble(response, began)
    finally:
        await response.aclose()


async def _assemble(response: httpx2.Response, began: float) -> Answer:
    assembly, first = Assembly(), None
    async for event in read_events(response.aiter_bytes()):
        assembly.add(event)
        if first is None and assembly.has_begun:
            first = time.monotonic() - began
    return assembly.answer(first)


def _refused(
    client: openai.AsyncOpenAI, request: Request, status: int, text: str, retry_after: str | None = None
) -> Trouble:
    # Some servers tell whose key they refuse.
    text = text.replace(client.api_key, "***")
    return classify(status, text, datetime.now(UTC), retry_after, request.body.get("max_tokens"))


def _unanswered(error: BaseException, seconds: float) -> Trouble:
    if isinstance(error, TimeoutError | httpx2.ReadTimeout | httpx2.WriteTimeout | httpx2.PoolTimeout):
        return Trouble("model_timeout", f"no answer within {seconds} s", passing=True)
    if isinstance(error, NoEndError):
        return Trouble("model_server_error", str(error), passing=True)
    message = f"{type(error).__name__}: {error}"
    return Trouble("model_unreachable", message, passing=True, lost=isinstance(error, BROKEN))
