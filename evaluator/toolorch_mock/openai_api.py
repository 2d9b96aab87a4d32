"""The OpenAI API's JSON as vLLM writes it: responses, stream chunks, models, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from toolorch_mock.arguments import ServeOptions
from toolorch_mock.chat_request import ApiError
from toolorch_mock.completion import Completion

# Pieces that a streamed text or arguments come in: enough for a reader to have to join them.
_STREAM_PIECES = 4


def build_error(error: ApiError) -> dict[str, Any]:
    """Build the body of an error answer."""
    return {"error": {"message": error.message, "type": error.kind, "param": None, "code": error.status}}


def build_models(options: ServeOptions, created: int) -> dict[str, Any]:
    """Build /v1/models: one card per served name, with the model as root."""
    cards: list[dict[str, Any]] = [
        {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": "vllm",
            "root": options.model,
            "parent": None,
            "max_model_len": options.max_model_len,
            "permission": [],
        }
        for name in options.served_names
    ]
    return {"object": "list", "data": cards}


def build_usage(prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
    """Build a usage object."""
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": None,
    }


def build_chat(answer_id: str, created: int, model: str, prompt_tokens: int, completion: Completion) -> dict[str, Any]:
    """Build a whole chat completion."""
    message = {
        "role": "assistant",
        "content": completion.text,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": [_tool_call(answer_id, completion)] if completion.tool_name else [],
        **_reasoning(completion.reasoning),
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": completion.finish_reason,
        "stop_reason": None,
        "token_ids": None,
    }
    return {
        "id": answer_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": build_usage(prompt_tokens, completion.tokens),
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }


def build_chunks(
    answer_id: str, created: int, model: str, usage: dict[str, Any] | None, completion: Completion
) -> Iterator[dict[str, Any]]:
    """Build the chunks of a streamed chat completion; `usage` comes last, in a chunk of its own."""
    head = {"id": answer_id, "object": "chat.completion.chunk", "created": created, "model": model}
    for delta in ({"role": "assistant", "content": ""}, *_deltas(answer_id, completion)):
        yield head | {"choices": [_chunk_choice(delta, None)]}
    yield head | {"choices": [_chunk_choice({"content": ""}, completion.finish_reason)]}
    if usage is not None:
        yield head | {"choices": [], "usage": usage}


def _chunk_choice(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    if reason is not None:
        choice["stop_reason"] = None
    return choice


def _reasoning(thought: str | None) -> dict[str, Any]:
    # The newer name and the older one: releases differ, and so do clients.
    return {"reasoning": thought, "reasoning_content": thought}


def _deltas(answer_id: str, completion: Completion) -> Iterator[dict[str, Any]]:
    yield from (_reasoning(piece) for piece in _pieces(completion.reasoning or ""))
    yield from ({"content": piece} for piece in _pieces(completion.text or ""))
    if completion.tool_name is None:
        return
    call = _tool_call(answer_id, completion)
    first = {"id": call["id"], "type": "function", "index": 0, "function": {"name": completion.tool_name}}
    yield {"tool_calls": [first]}
    for piece in _pieces(completion.tool_arguments):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _tool_call(answer_id: str, completion: Completion) -> dict[str, Any]:
    # One call per answer, so the answer's own id makes its id unique and the same at every try.
    function = {"name": completion.tool_name, "arguments": completion.tool_arguments}
    return {"id": f"chatcmpl-tool-{answer_id.removeprefix('chatcmpl-')}", "type": "function", "function": function}


def _pieces(text: str) -> Iterator[str]:
    size = max(1, -(-len(text) // _STREAM_PIECES))
    return (text[start : start + size] for start in range(0, len(text), size))
