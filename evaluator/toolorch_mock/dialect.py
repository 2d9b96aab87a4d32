"""The formats in which models write tool calls and thoughts, and what of it a server's parsers read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

# What a model without a format of its own is cut off in.
_COMMON = "hermes"
_THINK, _END_THINK = "<think>\n", "\n</think>\n\n"


def _list_of_calls(name: str, arguments: str) -> str:
    return f'[{{"name": "{name}", "arguments": {arguments}}}]'


def _python(name: str, arguments: str) -> str:
    """Write a Python call; arguments that were cut off stay the JSON that they are."""
    try:
        values: Mapping[str, Any] = json.loads(arguments)
    except ValueError:
        return f"[{name}({arguments}"
    return f"[{name}({', '.join(f'{key}={value!r}' for key, value in values.items())})]"


def _xml(name: str, arguments: str) -> str:
    try:
        values: Mapping[str, Any] = json.loads(arguments)
    except ValueError:
        return f"<tool_call>\n<function={name}>\n{arguments}"
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    parameters = "".join(f"<parameter={key}>\n{text}\n</parameter>\n" for key, text in texts.items())
    return f"<tool_call>\n<function={name}>\n{parameters}</function>\n</tool_call>"


# By the name of the parser that reads it: the format, from a function's name and its arguments as JSON.
TOOL_FORMATS: dict[str, Callable[[str, str], str]] = {
    "hermes": lambda name, arguments: f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>',
    "llama3_json": lambda name, arguments: f'{{"name": "{name}", "parameters": {arguments}}}',
    "mistral": lambda name, arguments: f"[TOOL_CALLS] {_list_of_calls(name, arguments)}",
    "granite": lambda name, arguments: f"<|tool_call|>{_list_of_calls(name, arguments)}",
    "phi4_mini_json": lambda name, arguments: f"functools{_list_of_calls(name, arguments)}",
    "pythonic": _python,
    "qwen3_coder": _xml,
    "openai": lambda name, arguments: (
        f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"
    ),
}
# Parsers under another name that read the same.
_ALIASES = {"llama4_json": "llama3_json", "llama4_pythonic": "pythonic", "qwen3_xml": "qwen3_coder"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How this model writes, and whether this server reads it."""

    tool_format: str = ""
    """Empty for whatever the server's parser reads."""
    tool_parser: str = ""
    reads_thoughts: bool = False

    @property
    def reads_calls(self) -> bool:
        """Whether a call becomes a tool call rather than text."""
        return not self.tool_format or self.tool_format == _ALIASES.get(self.tool_parser, self.tool_parser)

    def write_call(self, name: str, arguments: str) -> str:
        """Write a call as the model does; `arguments` is JSON."""
        return TOOL_FORMATS[self.tool_format or _COMMON](name, arguments)

    def write_thought(self, thought: str) -> str:
        """Write a thought as the model does, nothing where there is none."""
        return f"{_THINK}{thought}{_END_THINK}" if thought else ""

    def read_thought(self, text: str) -> tuple[str, str]:
        """Split what the model wrote into thought and rest, as far as the server reads thoughts."""
        if not (self.reads_thoughts and text.startswith(_THINK)):
            return "", text
        thought, _, rest = text.removeprefix(_THINK).partition(_END_THINK)
        return thought, rest
