"""Whether a server is useful: a conversation of a few requests that ends in a verdict. PURE.

The caller sends what `preflight` yields and sends back the reply; the value that it returns is the verdict.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import NoReturn

from toolorch_api.foreign_json import parse_json
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import Verdict
from toolorch_operator.modelpool.preflight.answers import (
    Reply,
    Said,
    mismatch,
    parse_error,
    parse_streamed,
    parse_whole,
)
from toolorch_operator.modelpool.preflight.requests import Request, Requests, again
from toolorch_operator.modelpool.preflight.texts import example, has_thoughts, marked_call, quiet, spelled_call

Conversation = Generator[Request, Reply, Said]

_KEY_REFUSED = (401, 403)
# The server cannot do what was asked, and would say so again.
_NOT_SERVED = (400, 404, 422, 501)
_DISABLED = "--enable-auto-tool-choice"


class _FailedError(Exception):
    """A check that ends the preflight."""

    def __init__(self, reason: PoolReason, message: str) -> None:
        super().__init__(message)
        self.verdict = Verdict(False, reason, message)


def preflight(requests: Requests) -> Generator[Request, Reply, Verdict]:
    """Yield the requests of a server's exam one after another, and return the verdict."""
    try:
        said = [(yield from _ask(requests.ready()))]
        if requests.exam.calls_tools:
            said += yield from _calls_tools(requests)
        if has_thoughts([s.content for s in said]):
            _fail_thoughts()
    except _FailedError as failed:
        return failed.verdict
    if requests.exam.calls_tools:
        return Verdict(
            True, PoolReason.CALLS_TOOLS, "tool calls arrive parsed: streamed, in one piece, and after a result"
        )
    return Verdict(True, PoolReason.SERVES_MODEL, "the server completes a message")


def _calls_tools(requests: Requests) -> Generator[Request, Reply, list[Said]]:
    """Ask for calls in each way that an agent does; return all that was said."""
    streamed = yield from _ask_for_call(requests.streamed_call())
    after = [streamed]
    if streamed.calls:
        request = requests.second_turn(streamed.calls[0], streamed.content)
        second = yield from _ask(request)
        _check_leak(request, second, "after a tool's result")
        after.append(second)
    nested = yield from _ask_for_call(requests.nested_call())
    if not (streamed.calls and nested.calls):
        where = "for a nested schema" if streamed.calls else "when streamed" if nested.calls else ""
        yield from _explain(requests.required_call(), nested if streamed.calls else streamed, where)
    return [*after, nested]


def _ask_for_call(request: Request) -> Conversation:
    """Return an answer with one valid call, or with text only; the model has two tries."""
    said = yield from _ask(request)
    if _flaw(request, said):
        said = yield from _ask(again(request))
    _check_leak(request, said, "under tool_choice auto")
    flaw = _flaw(request, said)
    if said.calls and flaw:
        shown = example(said.calls[0]["function"]["arguments"])
        cut = " (cut at max_tokens)" if _is_cut(said) else ""
        _fail(PoolReason.TOOL_ARGUMENTS_INVALID, f"in the check {request.check}, {flaw}{cut}: {shown!r}")
    return said


def _flaw(request: Request, said: Said) -> str:
    """Say what an answer lacks of one valid call; "" where it is one."""
    if not said.calls:
        return "no call came"
    function, name = said.calls[0]["function"], _tool(request)
    if function["name"] != name:
        return f"the model called {example(function['name'])!r}, which was not offered"
    try:
        arguments = parse_json(function["arguments"])
    except ValueError:
        return "the arguments of the call are no JSON"
    return mismatch(request.parameters or {}, arguments)


def _check_leak(request: Request, said: Said, when: str) -> None:
    """Fail where a call stands in the text; beside a parsed call only marks tell, for a model may speak of its call."""
    name = _tool(request)
    marked = marked_call(said.content, name)
    parser = marked or (None if said.calls else spelled_call(said.content, name))
    if parser is not None:
        _fail_leak(parser, f"in the content {when}", said.content)
    # A model may think of a call before it makes one.
    if not said.calls and (thought := marked_call(said.reasoning, name)):
        _fail_leak(thought, f"in the reasoning {when}", said.reasoning)


def _explain(request: Request, said: Said, where: str) -> Generator[Request, Reply, None]:
    """Find out why a model answered without a call, and fail with it."""
    reply = yield request
    forced = Said() if reply.status in _NOT_SERVED else _read(request, reply)
    # Where the form of the parser is enforced, a call that was cut stands in the content though the parser fits.
    if not _is_cut(forced):
        _check_leak(request, forced, "under tool_choice required")
    if said.tokens > 1 and not said.content.strip() and not said.reasoning.strip():
        _fail(
            PoolReason.TOOL_CALLS_NOT_PARSED,
            f"the model wrote {said.tokens} tokens under tool_choice auto, and neither a call nor a text came of them;"
            " set toolCalling.parser to the one of this model",
        )
    place = f" {where}" if where else ""
    if _is_cut(said) and not said.content.strip():
        _fail(PoolReason.MODEL_DOES_NOT_CALL_TOOLS, f"the model thought until max_tokens and made no tool call{place}")
    with_choice = "it does" if forced.calls else "it comes to no end" if _is_cut(forced) else "it does not"
    shown = example(said.content)
    _fail(
        PoolReason.MODEL_DOES_NOT_CALL_TOOLS,
        f"the model answers with text and calls no tool by itself{place}; {with_choice} under tool_choice required;"
        f" it said {shown!r}",
    )


def _ask(request: Request) -> Conversation:
    reply = yield request
    return _read(request, reply)


def _read(request: Request, reply: Reply) -> Said:
    """Return what a reply says; fail where it says nothing."""
    if reply.status in _KEY_REFUSED:
        _fail(PoolReason.API_KEY_REFUSED, f"the server answered {reply.status}: it refuses the key, or wants one")
    if reply.status != 200:
        message = parse_error(reply.text)
        if reply.status in _NOT_SERVED and _DISABLED in message:
            _fail(
                PoolReason.AUTO_TOOL_CHOICE_DISABLED,
                "the server takes no tool_choice auto: set toolCalling.parser, which switches it on",
            )
        told = f": {quiet(message)}" if message else ""
        _fail(PoolReason.COMPLETION_FAILED, f"the check {request.check} was answered {reply.status}{told}")
    try:
        return parse_streamed(reply.text) if request.is_streamed else parse_whole(reply.text)
    except ValueError as error:
        words = "the answer is no JSON" if isinstance(error, json.JSONDecodeError) else quiet(str(error))
        _fail(PoolReason.COMPLETION_FAILED, f"the check {request.check} failed: {words}")


def _is_cut(said: Said) -> bool:
    return said.finish_reason == "length"


def _tool(request: Request) -> str:
    return str(request.body["tools"][0]["function"]["name"])


def _fail_leak(parser: str, place: str, text: str) -> NoReturn:
    likely = f", such as {parser}" if parser else ""
    _fail(
        PoolReason.TOOL_CALLS_NOT_PARSED,
        f"the text of a tool call came {place}: {example(text)!r}; toolCalling.parser must read it{likely}",
    )


def _fail_thoughts() -> NoReturn:
    _fail(
        PoolReason.REASONING_LEAKS_INTO_CONTENT,
        "the model's thinking comes in the content: set reasoningParser, or switch thinking off by chatTemplateKwargs",
    )


def _fail(reason: PoolReason, message: str) -> NoReturn:
    raise _FailedError(reason, message)
