"""The requests of a preflight: what a server is asked, in the order of the checks. PURE."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolorch_operator.modelpool.observed import Exam

# Enough for a word and its end: only that an answer comes matters.
_WORD_TOKENS = 16
# A call takes 30 to 60; under tool_choice required nobody thinks first.
_FORCED_TOKENS = 128
# A model that thinks needs some hundred tokens before its call; one that does not ends after the call.
_CALL_TOKENS = 1024
# Of a server's context: the prompt with its tools takes some hundred tokens, and must fit beside the answer.
_SHARE_OF_CONTEXT = 4

# Values are enumerated, so that even a model that knows nothing ends soon where the schema is enforced.
GAUGE = json.loads("""
{"type": "function", "function": {
  "name": "read_gauge",
  "description": "Read the water level at one of the two gauges of the river.",
  "parameters": {
    "type": "object",
    "properties": {"gauge": {"type": "string", "enum": ["north", "south"]}},
    "required": ["gauge"]}}}
""")
GAUGE_WISH = "What is the water level at the north gauge? Call the tool read_gauge to find out."
GAUGE_RESULT = '{"gauge": "north", "level_cm": 212}'

ORDER = json.loads("""
{"type": "function", "function": {
  "name": "place_order",
  "description": "Place one order for parts.",
  "parameters": {
    "type": "object",
    "properties": {
      "order": {
        "type": "object",
        "properties": {
          "speed": {"type": "string", "enum": ["normal", "express"]},
          "lines": {
            "type": "array",
            "items": {
              "type": "object",
              "properties": {
                "part": {"type": "string", "enum": ["bolt", "nut", "washer"]},
                "count": {"type": "integer"}},
              "required": ["part", "count"]}}},
        "required": ["speed", "lines"]}},
    "required": ["order"]}}}
""")
ORDER_WISH = "Order 4 bolts and 12 nuts by express. Call the tool place_order once, with both lines in it."

_READY_WISH = "Reply with the single word ready."


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion to ask for."""

    check: str
    """Name of the check: the end of its request id."""
    body: Mapping[str, Any]
    """JSON of POST /chat/completions."""
    parameters: Mapping[str, Any] | None = None
    """JSON schema of the offered tool's arguments."""

    @property
    def is_streamed(self) -> bool:
        """Whether the answer comes as server-sent events."""
        return bool(self.body.get("stream"))


@dataclass(frozen=True, slots=True)
class Requests:
    """Builds the requests for one server."""

    exam: Exam
    max_model_len: int | None = None
    """Tokens of the server's context, where it tells them."""
    external: bool = False
    """Whether the server may be anything that speaks the OpenAI API, not only vLLM."""

    def ready(self) -> Request:
        """Build the plain completion."""
        return self._build("completion", [_user(_READY_WISH)], _WORD_TOKENS)

    def streamed_call(self) -> Request:
        """Build the wish for one simple call, streamed."""
        usage = {"include_usage": True}
        return self._offer("streamed-call", GAUGE_WISH, GAUGE, stream=True, stream_options=usage)

    def second_turn(self, call: Mapping[str, Any], content: str) -> Request:
        """Build the turn that follows upon the answer of the simple tool; `call` as it arrived in tool_calls."""
        said = {"role": "assistant", "content": content or None, "tool_calls": [call]}
        result = {"role": "tool", "tool_call_id": call["id"], "content": GAUGE_RESULT}
        return self._build("second-turn", [_user(GAUGE_WISH), said, result], _CALL_TOKENS, tools=[GAUGE])

    def nested_call(self) -> Request:
        """Build the wish for a call with an object of arrays of objects, in one piece."""
        return self._offer("nested-call", ORDER_WISH, ORDER)

    def required_call(self) -> Request:
        """Build the wish for the simple call that leaves no choice."""
        # One call only: told nothing else, a model that knows nothing adds calls to its list without an end.
        forced: Mapping[str, Any] = {"tool_choice": "required", "parallel_tool_calls": False}
        # Newer vLLM enforces a schema only where it is strict; OpenAI refuses such a one without additionalProperties.
        tool = GAUGE if self.external else {**GAUGE, "function": {**GAUGE["function"], "strict": True}}
        return self._offer("required-call", GAUGE_WISH, tool, _FORCED_TOKENS, **forced)

    def _offer(
        self, check: str, wish: str, tool: Mapping[str, Any], tokens: int = _CALL_TOKENS, **more: Any
    ) -> Request:
        choice = {"tools": [tool], "tool_choice": "auto", **more}
        return self._build(check, [_user(wish)], tokens, tool["function"]["parameters"], **choice)

    def _build(
        self,
        check: str,
        messages: list[Mapping[str, Any]],
        tokens: int,
        parameters: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Request:
        if self.max_model_len is not None:
            tokens = max(1, min(tokens, self.max_model_len // _SHARE_OF_CONTEXT))
        # OpenAI's newer models refuse max_tokens, and every temperature but their own.
        limits = {"max_completion_tokens": tokens} if self.external else {"max_tokens": tokens, "temperature": 0}
        template = {"chat_template_kwargs": dict(self.exam.template_kwargs)} if self.exam.template_kwargs else {}
        body: Mapping[str, Any] = {"model": self.exam.served_name, "messages": messages, **limits, **more, **template}
        return Request(check, body, parameters)


def again(request: Request) -> Request:
    """Build the second try of a request, with some chance in it where the first had none."""
    warmer = {"temperature": 0.7} if "temperature" in request.body else {}
    return Request(f"{request.check}-again", {**request.body, **warmer}, request.parameters)


def _user(text: str) -> Mapping[str, Any]:
    return {"role": "user", "content": text}
