"""What a model call sends and what its answer holds: OpenAI chat completions as plain JSON, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_api.foreign_json import parse_json
from toolorch_api.roles import Role
from toolorch_api.shard import PoolInput
from toolorch_evaluator.benchmarks.base import InvalidReplyError, Reply, ToolCall
from toolorch_evaluator.thoughts import strip_thoughts


@dataclass(frozen=True, slots=True)
class Answer:
    """A decoded completion: the reply, who gave it, and what it cost."""

    reply: Reply
    served: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    first_seconds: float | None = None
    """From the request to the first piece of a streamed answer; None where the answer came as a whole."""
    unreadable: str = ""
    """Why nobody can read the reply, which is then empty: the model's doing."""
    has_leaked: bool = False
    """Whether thoughts stood in the text, which the reply has no more."""


class NotACompletionError(ValueError):
    """A body that came with status 200 and is no chat completion."""


def build_body(
    role: Role,
    pool: PoolInput,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
    seed: int | None,
    default_temperature: float | None,
    wants: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the request of one call; a setting that nobody gave is left to the server.

    `wants` is what the benchmark means, as `Ask` has it.
    """
    given = {"temperature": default_temperature, **(wants or {})}
    own = {"temperature": None if role.temperature is None else float(role.temperature), "max_tokens": role.max_tokens}
    settings = {name: given.get(name) if own[name] is None else own[name] for name in own} | {"seed": seed}
    kwargs = {**given.get("chat_template_kwargs", {}), **pool.chat_template_kwargs}
    return {
        "model": pool.served_model_name,
        "messages": messages,
        **{name: value for name, value in settings.items() if value is not None},
        **({"tools": tools, "tool_choice": given.get("tool_choice") or role.tool_choice} if tools else {}),
        **({"chat_template_kwargs": kwargs} if kwargs else {}),
    }


def parse_answer(body: bytes) -> Answer:
    """Decode a completion; raises NotACompletionError where the body is none, which is the server's doing."""
    try:
        document = parse_json(body)
        choice = document["choices"][0]
        message = choice["message"]
        return build_answer(
            content=message.get("content"),
            calls=message.get("tool_calls") or [],
            served=document.get("model", ""),
            usage=document.get("usage") or {},
            finish_reason=choice.get("finish_reason"),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NotACompletionError(f"{type(error).__name__}: {error}") from error


def build_answer(
    content: str | None,
    calls: Sequence[Mapping[str, Any]],
    served: str,
    usage: Mapping[str, Any],
    finish_reason: str | None,
    first_seconds: float | None = None,
) -> Answer:
    """Build an answer of a completion's parts, as the API writes them, without the thoughts in its text."""
    said = None if content is None else strip_thoughts(content)
    try:
        reply, unreadable = Reply(said, tuple(_read_call(i, call) for i, call in enumerate(calls))), ""
    except InvalidReplyError as error:
        reply, unreadable = Reply(None), str(error)
    return Answer(
        reply=reply,
        served=str(served),
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        completion_tokens=int(usage.get("completion_tokens") or 0),
        finish_reason=str(finish_reason or ""),
        first_seconds=first_seconds,
        unreadable=unreadable,
        has_leaked=said != content,
    )


def _read_call(index: int, call: Mapping[str, Any]) -> ToolCall:
    function = call["function"]
    name = function["name"]
    return ToolCall(call.get("id") or f"call_{index}", name, _arguments(name, function["arguments"]))


def _arguments(name: str, text: str | None) -> dict[str, Any]:
    # Servers write a call without arguments as "", "{}" or null.
    try:
        arguments = parse_json(text or "{}")
    except ValueError as error:
        raise InvalidReplyError(f"arguments of tool call {name} are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InvalidReplyError(f"arguments of tool call {name} are no JSON object but {type(arguments).__name__}")
    return arguments
