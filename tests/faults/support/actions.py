"""What can be done to one request, before it is sent on or after it is done; and how an API server in trouble answers.

An action takes (fault, answer, kill) and returns what the sender gets: an Answer, BROKEN, or, before the request was
sent on, None for "send it on". `answer` is None before, and after it what the API server said.

kill: the operator is killed; with `events` and `seconds` its next life finds an API server that lags (staleness.py).
reply: the answer is another, `code`, and as given `reason`, `message`, `headers`.
reset: the connection breaks. hang: nothing for `seconds`, then it breaks. slow: nothing for `seconds`, then it goes on.
"""

import asyncio
import json
from dataclasses import dataclass, field

REASONS = {
    400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired",
    422: "Invalid", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
}  # fmt: skip
BROKEN = object()
"""Stands for a connection that breaks in place of an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API server, or one that looks like it."""

    status: int
    body: bytes
    headers: dict = field(default_factory=lambda: {"Content-Type": "application/json"})


def build_status(code, reason="", message=""):
    """Return a Status, the words of an API server that does not do what it was asked."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message or f"fault {code}",
        "reason": reason or REASONS.get(code, ""),
        "code": code,
    }


async def _kill(fault, answer, kill):
    await kill(fault)
    return BROKEN


async def _reply(fault, answer, kill):
    said = dict(fault.arguments)
    headers = {"Content-Type": "application/json", **said.pop("headers", {})}
    return Answer(said["code"], json.dumps(build_status(**said)).encode(), headers)


async def _reset(fault, answer, kill):
    return BROKEN


async def _hang(fault, answer, kill):
    await asyncio.sleep(fault.arguments["seconds"])
    return BROKEN


async def _slow(fault, answer, kill):
    await asyncio.sleep(fault.arguments["seconds"])
    return answer


ACTIONS = {"kill": _kill, "reply": _reply, "reset": _reset, "hang": _hang, "slow": _slow}


async def act(faults, answer, kill):
    """Do faults to one request, one after another, until one of them decides what its sender gets."""
    for fault in faults:
        before, answer = answer, await ACTIONS[fault.action](fault, answer, kill)
        if answer is not before:
            return answer
    return answer
