"""A chat request, parsed and checked as vLLM does, and the errors that it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_mock.arguments import ServeOptions

# Characters per token: about right for English with JSON, and the cheapest estimate there is.
CHARACTERS_PER_TOKEN = 4


class ApiError(Exception):
    """An error answer: HTTP status, the error's type and its message."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


def bad_request(message: str) -> ApiError:
    """Build vLLM's error for a request that cannot be served."""
    return ApiError(400, "BadRequestError", message)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The fields of a chat request that the mock acts upon."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    tools: Mapping[str, Mapping[str, Any]]
    """Offered functions by name; none when tool_choice is none."""
    forced: str | None
    """The one function that tool_choice names."""
    required: bool
    """Whether some tool must be called."""
    stream: bool
    include_usage: bool
    max_tokens: int | None
    prompt_tokens: int
    thinks: bool
    """Unless chat_template_kwargs switch it off."""

    @property
    def is_guided(self) -> bool:
        """Whether a grammar makes sure that the answer is a call."""
        return self.required or self.forced is not None


def count_tokens(characters: int) -> int:
    """Estimate the tokens of so many characters; nothing is ever free."""
    return max(1, -(-characters // CHARACTERS_PER_TOKEN))


def parse_chat(body: Any, size: int, options: ServeOptions, parses_tools: bool) -> ChatRequest:
    """Parse a decoded body of `size` bytes; raises ApiError with vLLM's own words.

    `parses_tools` is whether tool_choice auto is served at all.
    """
    if not isinstance(body, dict):
        raise bad_request("Input should be a valid dictionary or object to extract fields from")
    model = body.get("model") or options.served_names[0]
    if model not in options.served_names:
        raise ApiError(404, "NotFoundError", f"The model `{model}` does not exist.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise bad_request("messages: Field required: a list of objects that have a role")
    tools = _parse_tools(body.get("tools") or ())
    choice = body.get("tool_choice") or ("auto" if tools else "none")
    forced = _check_choice(choice, tools, parses_tools)
    stream = bool(body.get("stream"))
    limits = (body.get("max_completion_tokens"), body.get("max_tokens"))
    max_tokens = next((limit for limit in limits if limit is not None), None)
    prompt_tokens = count_tokens(size)
    _check_length(prompt_tokens, max_tokens, options.max_model_len)
    return ChatRequest(
        model=model,
        messages=messages,
        tools={} if choice == "none" else tools,
        forced=forced,
        required=choice == "required",
        stream=stream,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        max_tokens=max_tokens,
        prompt_tokens=prompt_tokens,
        thinks=_parse_template_arguments(body).get("enable_thinking") is not False,
    )


def _parse_template_arguments(body: Mapping[str, Any]) -> Mapping[str, Any]:
    arguments = body.get("chat_template_kwargs") or {}
    if not isinstance(arguments, dict):
        raise bad_request("chat_template_kwargs: Input should be a valid dictionary")
    return arguments


def _parse_tools(tools: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    try:
        return {tool["function"]["name"]: tool["function"] for tool in tools}
    except (KeyError, TypeError):
        raise bad_request("tools: Field required: each tool has a function with a name") from None


def _check_choice(choice: Any, tools: Mapping[str, Any], parses_tools: bool) -> str | None:
    """Check tool_choice and return the function that it names."""
    if choice == "none":
        return None
    if not tools:
        raise bad_request("When using `tool_choice`, `tools` must be set.")
    if choice == "auto":
        if not parses_tools:
            raise bad_request('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
        return None
    if choice == "required":
        if not parses_tools:
            raise bad_request('tool_choice="required" requires --tool-call-parser to be set')
        return None
    name = choice.get("function", {}).get("name") if isinstance(choice, dict) else None
    if name not in tools:
        raise bad_request("The tool specified in `tool_choice` does not match any of the specified `tools`")
    return str(name)


def _check_length(prompt_tokens: int, max_tokens: Any, limit: int) -> None:
    if max_tokens is not None and (not isinstance(max_tokens, int) or max_tokens < 1):
        raise bad_request(f"max_tokens must be at least 1, got {max_tokens}.")
    if prompt_tokens >= limit:
        raise bad_request(
            f"This model's maximum context length is {limit} tokens. However, your request has {prompt_tokens} input "
            "tokens. Please reduce the length of the input messages."
        )
    if max_tokens is not None and prompt_tokens + max_tokens > limit:
        raise bad_request(
            f"'max_tokens' or 'max_completion_tokens' is too large: {max_tokens}. This model's maximum context length "
            f"is {limit} tokens and your request has {prompt_tokens} input tokens "
            f"({max_tokens} > {limit} - {prompt_tokens})."
        )
