"""What stands in a model's text that should not: calls that no parser took, thoughts, secrets. PURE."""

from __future__ import annotations

import re
from collections.abc import Sequence

_EXAMPLE_CHARACTERS = 120
_MESSAGE_CHARACTERS = 240

# What models write around their calls, and the parser of vLLM that reads it.
_MARKS = (
    (r"<\|channel\|>|<\|start\|>assistant|to=functions\.", "openai"),
    (r"\[TOOL_CALLS\]", "mistral"),
    (r"<\|python_tag\|>", "llama3_json"),
    (r"<function=\w", "qwen3_coder"),
    (r"</?tool_call>", "hermes"),
    (r"<｜tool▁calls?▁begin｜>", "deepseek_v3"),
    (r"<\|tool_calls_section_begin\|>", "kimi_k2"),
    (r"<\|tool_call\|>", "granite"),
    (r"\bfunctools\[", "phi4_mini_json"),
)
_BARE_JSON = re.compile(r'\{\s*"name"\s*:\s*"[\w.-]+"\s*,\s*"(?:parameters|arguments)"\s*:')

# Where a thought begins or ends; many templates write its beginning themselves, so that only the end is the model's.
_THOUGHT = re.compile(r"^\s*(?:<think>|<thinking>|\[THINK\])|(?:</think>|</thinking>|\[/THINK\])\s*(?:\n|$)")

_SECRETS = re.compile(r"\b(?:sk|hf|nvapi|gsk|xai)[-_][\w-]{8,}|\bBearer\s+\S+|\bhttps?://\S+", re.IGNORECASE)


def marked_call(text: str, name: str) -> str:
    """Return the parser of vLLM that would read a call of a function, by the marks around it; "" where none stands."""
    # Marks alone are no call: a model without any sense writes them too.
    if name not in text:
        return ""
    return next((parser for mark, parser in _MARKS if re.search(mark, text)), "")


def spelled_call(text: str, name: str) -> str | None:
    """Return the parser that would read an unmarked call of a function, "" where none is known; None: no call."""
    if name in text and _BARE_JSON.search(text):
        return "llama3_json"
    if re.search(rf"\[\s*{re.escape(name)}\s*\(", text):
        return "pythonic"
    # Such as read_gauge({"gauge": …: a model of some other habit.
    return "" if re.search(rf"\b{re.escape(name)}\W{{0,12}}\{{", text) else None


def has_thoughts(texts: Sequence[str]) -> bool:
    """Tell whether a model's thinking stands in one of the texts."""
    return any(_THOUGHT.search(text) for text in texts)


def example(text: str) -> str:
    """Return the beginning of a text as one line to show."""
    return _shorten(text, _EXAMPLE_CHARACTERS)


def quiet(message: str) -> str:
    """Return a server's message as one short line without keys and addresses."""
    return _shorten(_SECRETS.sub("…", message), _MESSAGE_CHARACTERS).rstrip(".")


def _shorten(text: str, limit: int) -> str:
    line = "".join(letter if letter.isprintable() else "·" for letter in " ".join(text.split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
