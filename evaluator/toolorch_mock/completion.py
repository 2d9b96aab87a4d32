"""What the model said, as the API sees it: an answer cut to max_tokens, with its tokens and finish reason."""

from __future__ import annotations

import json
from dataclasses import dataclass

from toolorch_mock.brains.base import Answer, Brain, Call, Turn
from toolorch_mock.brains.generic import build_call, named_tool
from toolorch_mock.chat_request import CHARACTERS_PER_TOKEN, ChatRequest, count_tokens


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer: text or one tool call with its arguments as JSON."""

    text: str | None
    tool_name: str | None
    tool_arguments: str
    finish_reason: str
    tokens: int


def complete(request: ChatRequest, brain: Brain, turn: Turn) -> Completion:
    """Ask the brain, obey tool_choice, and cut at max_tokens."""
    answer = _obey(request, brain, turn)
    if answer.call is None:
        return _complete_text(answer.text or "", request.max_tokens)
    arguments = json.dumps(dict(answer.call.arguments), ensure_ascii=False)
    tokens = count_tokens(len(answer.call.name) + len(arguments))
    if request.max_tokens is not None and tokens > request.max_tokens:
        # A call that was cut off is no call: the parser leaves its beginning in the text.
        return _complete_text(
            f'<tool_call>{{"name": "{answer.call.name}", "arguments": {arguments}', request.max_tokens
        )
    # As there: a function named by the request ends with stop.
    reason = "stop" if request.forced else "tool_calls"
    return Completion(None, answer.call.name, arguments, reason, tokens)


def _obey(request: ChatRequest, brain: Brain, turn: Turn) -> Answer:
    answer = brain(turn)
    if request.forced is not None and (answer.call is None or answer.call.name != request.forced):
        return Answer(call=build_call(turn, request.forced))
    if request.required and answer.call is None:
        return Answer(call=_any_call(turn))
    return answer


def _any_call(turn: Turn) -> Call:
    return build_call(turn, named_tool(turn) or next(iter(turn.tools)))


def _complete_text(text: str, max_tokens: int | None) -> Completion:
    tokens = count_tokens(len(text))
    if max_tokens is None or tokens <= max_tokens:
        return Completion(text, None, "", "stop", tokens)
    return Completion(text[: max_tokens * CHARACTERS_PER_TOKEN], None, "", "length", max_tokens)
