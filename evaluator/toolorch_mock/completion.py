"""What the model said, as the API sees it: an answer cut to max_tokens, with its tokens and finish reason."""

from __future__ import annotations

import json
from dataclasses import dataclass

from toolorch_mock.brains.base import Answer, Brain, Call, Turn
from toolorch_mock.brains.generic import build_call, wanted_tool
from toolorch_mock.brains.phrases import THOUGHT
from toolorch_mock.brains.registry import Model
from toolorch_mock.chat_request import CHARACTERS_PER_TOKEN, ChatRequest, count_tokens
from toolorch_mock.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer: text or one tool call with its arguments as JSON, and the thought before it."""

    text: str | None
    tool_name: str | None
    tool_arguments: str
    finish_reason: str
    tokens: int
    reasoning: str | None = None


def complete(request: ChatRequest, model: Model, dialect: Dialect, turn: Turn) -> Completion:
    """Ask the brain, obey tool_choice, and cut at max_tokens."""
    answer = _obey(request, model.brain, turn)
    # The grammar of a tool that must be called leaves no room for a thought, unless the server knows where it ends.
    is_mute = request.is_guided and not dialect.reads_thoughts
    thought = dialect.write_thought(THOUGHT if model.thinks and request.thinks and not is_mute else "")
    if answer.call is None:
        return _complete_text(thought + (answer.text or ""), request.max_tokens, dialect)
    arguments = json.dumps(dict(answer.call.arguments), ensure_ascii=False)
    if model.cuts_calls and not request.is_guided:
        arguments = arguments[: -(-len(arguments) // 2)]
    return _complete_call(request, dialect, thought, answer.call.name, arguments)


def _complete_call(request: ChatRequest, dialect: Dialect, thought: str, name: str, arguments: str) -> Completion:
    written = thought + dialect.write_call(name, arguments)
    if not (request.is_guided or dialect.reads_calls):
        return _complete_text(written, request.max_tokens, dialect)
    tokens = count_tokens(len(thought) + len(name) + len(arguments))
    if request.max_tokens is not None and tokens > request.max_tokens:
        # A call that was cut off is no call: the parser leaves its beginning in the text.
        return _cut(written, request.max_tokens, dialect)
    # As there: a function named by the request ends with stop.
    reason = "stop" if request.forced else "tool_calls"
    reasoning, text = dialect.read_thought(thought)
    return Completion(text or None, name, arguments, reason, tokens, reasoning or None)


def _obey(request: ChatRequest, brain: Brain, turn: Turn) -> Answer:
    answer = brain(turn)
    if request.forced is not None and (answer.call is None or answer.call.name != request.forced):
        return Answer(call=build_call(turn, request.forced))
    if request.required and answer.call is None:
        return Answer(call=_any_call(turn))
    return answer


def _any_call(turn: Turn) -> Call:
    return build_call(turn, wanted_tool(turn) or next(iter(turn.tools)))


def _complete_text(written: str, max_tokens: int | None, dialect: Dialect) -> Completion:
    tokens = count_tokens(len(written))
    if max_tokens is not None and tokens > max_tokens:
        return _cut(written, max_tokens, dialect)
    reasoning, text = dialect.read_thought(written)
    return Completion(text, None, "", "stop", tokens, reasoning or None)


def _cut(written: str, max_tokens: int, dialect: Dialect) -> Completion:
    reasoning, text = dialect.read_thought(written[: max_tokens * CHARACTERS_PER_TOKEN])
    # A thought that does not end leaves no content at all, and that is null there.
    return Completion(None if reasoning and not text else text, None, "", "length", max_tokens, reasoning or None)
