"""The command line of `vllm serve`: its own argument names and types; an unknown argument is an error, as there.

Only what changes the mock's behaviour becomes a field of ServeOptions; the rest is checked for its type and ignored.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_mock.argument_names import (
    CHOICES,
    FLOATS,
    INTEGERS,
    JSONS,
    LISTS,
    SHORT_FLAGS,
    SWITCHES,
    TEXTS,
    TOOL_PARSERS,
)

# The vLLM release whose arguments and defaults are followed here; how an engine dies is told in the words of 0.33.
VERSION = "0.14.1"
DEFAULT_MODEL = "Qwen/Qwen3-0.6B"
# What the mock models' "config.json" would allow; --max-model-len may only lower it.
DERIVED_MAX_MODEL_LEN = 131072
DEFAULT_UTILIZATION = 0.9
# As on most of the GPUs that the release knows.
DEFAULT_MAX_SEQS = 256
DEFAULT_MAX_BATCHED_TOKENS = 8192

_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")


class StartError(Exception):
    """Arguments that parse and yet cannot start a server: vLLM ends with a traceback and exit code 1."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What of the command line the mock acts upon."""

    model: str
    served_names: tuple[str, ...]
    host: str
    port: int
    max_model_len: int
    fits_model_len: bool
    """Whether max_model_len may be lowered to what the memory holds."""
    max_seqs: int
    max_batched_tokens: int
    utilization: float
    tensor_parallel_size: int
    enforce_eager: bool
    auto_tools: bool
    tool_parser: str
    """Empty where none is named, as the next one."""
    reasoning_parser: str
    api_keys: tuple[str, ...]


def parse_human_int(text: str) -> int:
    """Parse vLLM's integers: 32768, 1k (1000), 1K (1024), 25.6k; raises ArgumentTypeError."""
    match = _HUMAN.fullmatch(text.strip())
    if match is None:
        return _parse_int(text)
    number, unit = match.groups()
    if unit in _DECIMAL:
        return int(float(number) * _DECIMAL[unit])
    if "." in number:
        raise argparse.ArgumentTypeError(f"Decimals are not allowed with binary suffixes like {unit}: {text!r}")
    return int(number) * _BINARY[unit]


def _parse_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid integer: {text!r}") from None


def _parse_model_len(text: str) -> int:
    """Parse --max-model-len; -1 and auto ask for the longest that fits."""
    return -1 if text == "auto" else parse_human_int(text)


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"Value {text} cannot be converted to JSON.") from None


class _Parser(argparse.ArgumentParser):
    """argparse that takes `--max_model_len` for `--max-model-len`, as vLLM's does."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_args([_dashed(a) for a in args or ()], namespace)


def _dashed(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `vllm` with its one subcommand that the mock knows, serve."""
    parser = _Parser(prog="vllm", description="vLLM CLI", allow_abbrev=False)
    parser.add_argument("-v", "--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    serve = commands.add_parser("serve", allow_abbrev=False, usage="vllm serve [model_tag] [options]")
    serve.add_argument("model_tag", nargs="?", help="model to serve (default: --model)")
    _add_arguments(serve)
    return parser


def _add_arguments(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--max-model-len", type=_parse_model_len)
    for name in INTEGERS:
        serve.add_argument(*SHORT_FLAGS.get(name, ()), f"--{name}", type=parse_human_int)
    for name in FLOATS:
        serve.add_argument(f"--{name}", type=float)
    for name in TEXTS:
        serve.add_argument(*SHORT_FLAGS.get(name, ()), f"--{name}")
    for name, choices in CHOICES.items():
        serve.add_argument(f"--{name}", choices=choices)
    for name in LISTS:
        serve.add_argument(f"--{name}", nargs="+")
    for name in JSONS:
        serve.add_argument(*SHORT_FLAGS.get(name, ()), f"--{name}", type=_parse_json)
    for name in SWITCHES:
        serve.add_argument(f"--{name}", action=argparse.BooleanOptionalAction)


def parse_options(argv: Sequence[str]) -> ServeOptions:
    """Parse a command line; raises SystemExit as argparse does, StartError where vLLM refuses while starting."""
    given = build_parser().parse_args(argv)
    model = given.model_tag or given.model or DEFAULT_MODEL
    if given.enable_auto_tool_choice and not given.tool_call_parser:
        raise StartError("TypeError: Error: --enable-auto-tool-choice requires --tool-call-parser")
    if given.tool_call_parser and given.tool_call_parser not in TOOL_PARSERS and not given.tool_parser_plugin:
        known = ",".join(TOOL_PARSERS)
        raise StartError(f"KeyError: 'invalid tool call parser: {given.tool_call_parser} (chose from {{ {known} }})'")
    return ServeOptions(
        model=model,
        served_names=tuple(given.served_model_name or (model,)),
        host=given.host or "0.0.0.0",
        port=8000 if given.port is None else given.port,
        max_model_len=_model_len(given.max_model_len),
        fits_model_len=given.max_model_len == -1,
        max_seqs=given.max_num_seqs or DEFAULT_MAX_SEQS,
        max_batched_tokens=given.max_num_batched_tokens or DEFAULT_MAX_BATCHED_TOKENS,
        utilization=_utilization(given.gpu_memory_utilization),
        tensor_parallel_size=given.tensor_parallel_size or 1,
        enforce_eager=bool(given.enforce_eager),
        auto_tools=bool(given.enable_auto_tool_choice),
        tool_parser=given.tool_call_parser or "",
        reasoning_parser=given.reasoning_parser or "",
        api_keys=tuple(given.api_key or ()),
    )


def _model_len(wanted: int | None) -> int:
    if wanted is None or wanted == -1:
        return DERIVED_MAX_MODEL_LEN
    if wanted > DERIVED_MAX_MODEL_LEN:
        raise StartError(
            f"ValueError: User-specified max_model_len ({wanted}) is greater than the derived max_model_len "
            f"(max_position_embeddings={DERIVED_MAX_MODEL_LEN} or model_max_length=None in model's config.json)."
        )
    if wanted < 1:
        raise StartError(f"ValueError: max_model_len must be at least 1, got {wanted}.")
    return wanted


def _utilization(wanted: float | None) -> float:
    if wanted is None:
        return DEFAULT_UTILIZATION
    if not 0 < wanted <= 1:
        raise StartError(f"ValueError: GPU memory utilization must be above 0 and at most 1.0. Got {wanted}.")
    return wanted
