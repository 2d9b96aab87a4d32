"""What a model call sends and what its answer means: OpenAI chat completions as plain JSON, both ways."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_api.roles import Role
from toolorch_api.shard import PoolInput
from toolorch_evaluator.benchmarks.base import InvalidReplyError, Reply, ToolCall

MAX_SENTENCE = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded completion: the reply, who gave it, and what it cost."""

    reply: Reply
    served: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a call got no completion.

    `passing`: another try may help. `overflow`: the conversation no longer fits the model.
    `pause`: seconds that the server asked for. `lost`: the server died while it had the request.
    """

    cause: str
    message: str
    passing: bool
    overflow: bool = False
    pause: float | None = None
    lost: bool = False


class NotACompletionError(ValueError):
    """A body that came with status 200 and is no chat completion."""


def build_body(
    role: Role,
    pool: PoolInput,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    seed: int | None,
    default_temperature: float | None,
) -> dict[str, Any]:
    """Build the request of one call; a setting that nobody gave is left to the server."""
    temperature = default_temperature if role.temperature is None else float(role.temperature)
    settings = {"temperature": temperature, "max_tokens": role.max_tokens, "seed": seed}
    return {
        "model": pool.served_model_name,
        "messages": messages,
        **{name: value for name, value in settings.items() if value is not None},
        **({"tools": tools, "tool_choice": role.tool_choice} if tools else {}),
        **({"chat_template_kwargs": pool.chat_template_kwargs} if pool.chat_template_kwargs else {}),
    }


def parse_answer(body: bytes) -> Answer:
    """Decode a completion.

    Raises NotACompletionError where the body is none (the server's doing), InvalidReplyError where a tool call's
    arguments are no JSON object (the model's doing).
    """
    try:
        document = json.loads(body)
        choice = document["choices"][0]
        message = choice["message"]
        calls = message.get("tool_calls") or []
        raw = [
            (c.get("id") or f"call_{i}", c["function"]["name"], c["function"]["arguments"]) for i, c in enumerate(calls)
        ]
        usage = document.get("usage") or {}
        return Answer(
            reply=Reply(
                message.get("content"), tuple(ToolCall(i, name, _arguments(name, text)) for i, name, text in raw)
            ),
            served=str(document.get("model", "")),
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            finish_reason=str(choice.get("finish_reason") or ""),
        )
    except InvalidReplyError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotACompletionError(f"{type(error).__name__}: {error}") from error


def _arguments(name: str, text: str | None) -> dict[str, Any]:
    # Servers write a call without arguments as "", "{}" or null.
    try:
        arguments = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidReplyError(f"arguments of tool call {name} are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InvalidReplyError(f"arguments of tool call {name} are no JSON object but {type(arguments).__name__}")
    return arguments


_PASSING_4XX = {408: "model_timeout", 409: "model_busy", 425: "model_busy", 429: "model_busy"}
_PERMANENT_4XX = {401: "model_unauthorized", 403: "model_unauthorized", 404: "model_not_found"}
# vLLM's wordings over its versions, OpenAI's code, and what other servers say.
_OVERFLOW = re.compile(
    r"context_length_exceeded|maximum context length|(longer|greater) than the maximum model length"
    r"|exceeds? the (model's )?(maximum |max )?(context|model) (length|window)",
    re.IGNORECASE,
)
# vLLM 0.32 names the two numbers, and OpenAI's newer name of the field.
_ASKS_TOO_MUCH = re.compile(r"max_(completion_)?tokens=\d+ cannot be greater than max_model_len", re.IGNORECASE)
# vLLM says this where its engine died under a request; its API server ends a moment later.
_ENGINE_DIED = re.compile(r"EngineDeadError|EngineCore encountered an? (issue|fatal error)", re.IGNORECASE)
_WINDOW = re.compile(r"maximum context length (?:is|of) (\d+)", re.IGNORECASE)


def classify(status: int, text: str, retry_after: str | None = None, max_tokens: int | None = None) -> Trouble:
    """Say what an error answer means; `max_tokens` is what the call asked for."""
    message = f"HTTP {status}: {' '.join(text.split())[:MAX_SENTENCE]}"
    if status >= 500 or status in _PASSING_4XX:
        cause = _PASSING_4XX.get(status, "model_server_error")
        lost = status == 500 and _ENGINE_DIED.search(text) is not None
        return Trouble(cause, message, passing=True, pause=_seconds(retry_after), lost=lost)
    if status in (400, 413, 422) and _ASKS_TOO_MUCH.search(text):
        return Trouble("max_tokens_too_large", message, passing=False)
    if status in (400, 413, 422) and _OVERFLOW.search(text):
        window = _WINDOW.search(text)
        if window and max_tokens is not None and max_tokens >= int(window[1]):
            # No conversation would ever fit: the spec's mistake must not be scored as the model's.
            return Trouble("max_tokens_too_large", message, passing=False)
        return Trouble("context_window_exceeded", message, passing=False, overflow=True)
    return Trouble(_PERMANENT_4XX.get(status, "model_refused"), message, passing=False)


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None  # an HTTP date: our own backoff will do
