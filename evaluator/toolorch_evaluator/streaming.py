"""A streamed completion put together: the same answer as a plain one gives, and when its first piece came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolorch_api.foreign_json import parse_json
from toolorch_evaluator.wire import Answer, NotACompletionError, build_answer

# What makes a piece the model's own rather than the server's opening words.
_WRITTEN = ("content", "reasoning", "reasoning_content")


class StreamError(Exception):
    """The server says in the middle of a stream that it failed; `status` is the one that it could no longer send."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True)
class Assembly:
    """The pieces so far."""

    _text: list[str] = field(default_factory=list)
    _calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By index: id, name, and the pieces of the arguments."""
    _usage: Mapping[str, Any] = field(default_factory=dict)
    _served: str = ""
    _finish_reason: str | None = None
    _reasons: bool = False
    has_begun: bool = False
    """Whether the model has written anything yet."""

    def add(self, event: str) -> None:
        """Take the JSON of one event; raises StreamError, NotACompletionError."""
        try:
            self._take(parse_json(event), event)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise NotACompletionError(f"{type(error).__name__}: {error}") from error

    def answer(self, first_seconds: float | None) -> Answer:
        """Return the whole; raises NotACompletionError where its end is missing."""
        if self._finish_reason is None:
            raise NotACompletionError("the stream has no end")
        calls = [
            {"id": call["id"], "function": {"name": call["name"], "arguments": "".join(call["pieces"])}}
            for _, call in sorted(self._calls.items())
        ]
        text = "".join(self._text)
        # As vLLM writes a whole answer: no content is null beside tool calls or thoughts, and a text otherwise.
        content = text or (None if calls or self._reasons else "")
        return build_answer(content, calls, self._served, self._usage, self._finish_reason, first_seconds)

    def _take(self, document: Mapping[str, Any], event: str) -> None:
        # Older servers write an error without its envelope.
        if error := document.get("error") or (document if document.get("object") == "error" else None):
            code = error.get("code") if isinstance(error, dict) else None
            raise StreamError(code if isinstance(code, int) and code >= 400 else 500, event)
        self._served = document.get("model") or self._served
        self._usage = document.get("usage") or self._usage
        for choice in document["choices"][:1]:
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            self._grow(choice.get("delta") or {})

    def _grow(self, delta: Mapping[str, Any]) -> None:
        if text := delta.get("content"):
            self._text.append(text)
        self._reasons = self._reasons or bool(delta.get("reasoning") or delta.get("reasoning_content"))
        self.has_begun = self.has_begun or any(delta.get(name) for name in _WRITTEN)
        for piece in delta.get("tool_calls") or ():
            self._grow_call(piece)

    def _grow_call(self, piece: Mapping[str, Any]) -> None:
        # Some servers number no calls: there an id begins one.
        newest = len(self._calls) if piece.get("id") else max(0, len(self._calls) - 1)
        call = self._calls.setdefault(piece.get("index", newest), {"id": None, "name": "", "pieces": []})
        function = piece.get("function") or {}
        call["id"] = call["id"] or piece.get("id")
        call["name"] = call["name"] or function.get("name") or ""
        if arguments := function.get("arguments"):
            call["pieces"].append(arguments)
        self.has_begun = self.has_begun or bool(function.get("name") or function.get("arguments"))


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Yield the payload of each server-sent event up to `[DONE]`; comments and other fields are passed over."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for payload in _payloads(lines):
            if payload == b"[DONE]":
                return
            yield payload.decode()
    for payload in _payloads([rest]):
        if payload != b"[DONE]":
            yield payload.decode()


def _payloads(lines: list[bytes]) -> Iterator[bytes]:
    for line in lines:
        if line.startswith(b"data:"):
            yield line[5:].strip()
