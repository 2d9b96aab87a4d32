"""What a storage proxy does to a request: each action returns what the caller is answered, None: nothing at all."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import obstore
from aiohttp import web
from obstore.store import S3Store
from s3_plan import Fault
from s3_server import ACCESS, REGION, SECRET

if TYPE_CHECKING:
    from s3_proxy import Call, StorageProxy

HANG_SECONDS = 60.0
"""Longer than any caller waits."""
HIDDEN = 3
"""Newest keys that a listing misses."""


@dataclass(frozen=True)
class Answer:
    """What a caller gets."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: str = ""
    """Content-Length of a HEAD."""


Action = Callable[["StorageProxy", "Call", Fault, web.Request], Awaitable[Answer | None]]


def error(status: int, code: str, message: str) -> Answer:
    """Build an error as S3 writes it."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Answer(status, {"Content-Type": "application/xml"}, text.encode())


SLOW_DOWN = error(503, "SlowDown", "Please reduce your request rate.")
INTERNAL = error(500, "InternalError", "We encountered an internal error. Please try again.")
CONFLICT = error(409, "ConditionalRequestConflict", "A conflicting operation occurred. Try again.")
ABORTED = error(409, "OperationAborted", "A conflicting conditional operation is in progress. Try again.")
FAILED = error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.")
SKEWED = error(403, "RequestTimeTooSkewed", "The difference between the request time and the server's is too large.")


def answers(answer: Answer) -> Action:
    """Answer without asking the server."""

    async def act(proxy, call, fault, request):
        return answer

    return act


async def error_after(proxy, call, fault, request):
    await proxy.forward(call)
    return INTERNAL


async def hang_after(proxy, call, fault, request):
    await proxy.forward(call)
    await asyncio.sleep(HANG_SECONDS)


async def reset_before(proxy, call, fault, request):
    return None


async def reset_after(proxy, call, fault, request):
    await proxy.forward(call)


async def conflict(proxy, call, fault, request):
    """Say that somebody else writes at this moment, and write nothing."""
    return CONFLICT if call.operation == "CREATE" else ABORTED


async def truncate(proxy, call, fault, request):
    """Send half of what was promised."""
    answer = await proxy.forward(call)
    if answer.status >= 300:
        return answer
    response = web.StreamResponse(
        status=answer.status, headers={**answer.headers, "Content-Length": str(len(answer.body))}
    )
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    return None


async def hide_newest(proxy, call, fault, request):
    """List all but the keys that were written last, as a store does whose listings lag."""
    answer = await proxy.forward(call)
    entries = re.findall(rb"<Contents>.*?</Contents>", answer.body, re.DOTALL)
    keys = {entry: re.search(rb"<Key>(.*?)</Key>", entry)[1].decode() for entry in entries}
    written = [f"{proxy.folder}/{key}" for key in proxy.seen.commits]
    body = answer.body
    for entry in sorted((e for e in entries if keys[e] in written), key=lambda e: written.index(keys[e]))[-HIDDEN:]:
        body = body.replace(entry, b"")
    return replace(answer, body=body)


async def both_win(proxy, call, fault, request):
    """Write over what is there although the caller asked for a create, as a store does that does not look."""
    answer = await proxy.forward(call)
    if answer.status != 412:
        return answer
    store = S3Store(
        call.bucket, endpoint=proxy.server.url, access_key_id=ACCESS, secret_access_key=SECRET, region=REGION,
        client_options={"allow_http": True},
    )  # fmt: skip
    put = await obstore.put_async(store, call.full_key, call.body, use_multipart=False)
    proxy.commit(call)
    return Answer(200, {"ETag": put["e_tag"] or ""})


async def outage(proxy, call, fault, request):
    """Answer nobody for a while."""
    proxy.away_until = asyncio.get_running_loop().time() + fault.seconds


async def kill_before(proxy, call, fault, request):
    proxy.kill(call.caller)


async def kill_after(proxy, call, fault, request):
    await proxy.forward(call)
    proxy.kill(call.caller)


ACTIONS: dict[str, Action] = {
    "slow_down": answers(SLOW_DOWN),
    "error_after": error_after,
    "hang_after": hang_after,
    "reset_before": reset_before,
    "reset_after": reset_after,
    "conflict": conflict,
    "precondition": answers(FAILED),
    "truncate": truncate,
    "hide_newest": hide_newest,
    "skew": answers(SKEWED),
    "both_win": both_win,
    "outage": outage,
    "kill_before": kill_before,
    "kill_after": kill_after,
}
"""By the name that plans use."""
