"""Whether a spec's parsers and template are known to work for its model; a warning, never a bar. PURE.

What is known stands in families.py. A wrong parser costs a whole evaluation in silence: tool calls stay text and every
task fails, which looks like a bad model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

from toolorch_api.meta import GROUP
from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.pool_reasons import PoolReason
from toolorch_api.serving import Engine
from toolorch_operator.modelpool.presets.families import Family, Template, Thinking, find_family

ANNOTATION_PRESET = f"{GROUP}/preset"
"""On a ModelPool: `ignore` where its owner knows better than the table."""
IGNORE = "ignore"

_NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})
_TOOL_PLUGIN, _REASONING_PLUGIN = "--tool-parser-plugin", "--reasoning-parser-plugin"
_TEMPLATE_KWARGS = "--default-chat-template-kwargs"


def judge_preset(
    spec: ModelPoolSpec, chat_template: str | None, annotations: Mapping[str, str] = _NO_ANNOTATIONS
) -> tuple[bool | None, PoolReason, str]:
    """Compare a spec with what is known of its model's family; return status, reason and sentence of PresetMatched.

    `chat_template` is the text behind toolCalling.chatTemplate, None where there is none or nobody has read it.
    """
    if spec.engine is Engine.EXTERNAL:
        return None, PoolReason.NO_PRESET, "Whoever runs the external server chose its parsers."
    family = find_family(spec.model)
    if family is None:
        return None, PoolReason.NO_PRESET, f"Nothing is known of the family of {spec.model}."
    if annotations.get(ANNOTATION_PRESET) == IGNORE:
        return None, PoolReason.NO_PRESET, f"What is known of {family.name} is ignored, as {ANNOTATION_PRESET} says."
    found = [*_parser(spec, family), *_reasoning(spec, family), *_template(spec, family, chat_template)]
    if not found:
        return True, PoolReason.MATCHES_PRESET, f"Parsers and template are those of {family.name} ({family.source})."
    return False, PoolReason.CONTRADICTS_PRESET, f"{' '.join(found)} Source: {family.source}."


def _parser(spec: ModelPoolSpec, family: Family) -> Iterator[str]:
    tools = spec.tool_calling
    if tools is None or not family.parsers or tools.parser in family.parsers or _is_given(spec, _TOOL_PLUGIN):
        return
    yield (
        f"toolCalling.parser is {tools.parser}, which does not read the tool calls of {family.name}:"
        f" {_any_of(family.parsers)} does."
    )


def _reasoning(spec: ModelPoolSpec, family: Family) -> Iterator[str]:
    parser, thinks = spec.reasoning_parser, _thinks(spec, family)
    if _is_given(spec, _REASONING_PLUGIN):
        return
    if parser is None and thinks:
        way_out = ", or chatTemplateKwargs {enable_thinking: false}" if family.thinking is Thinking.SWITCHABLE else ""
        yield (
            f"{family.name} writes its reasoning before its answer and reasoningParser is not set, so it leaks into the"
            f" content: set {_any_of(family.reasoning)}{way_out}."
        )
    elif parser is not None and family.thinking is Thinking.NEVER:
        yield (
            f"reasoningParser is {parser} and {family.name} does not reason: a parser that waits for the end of the"
            " reasoning may take the whole answer for it. Leave it out."
        )
    elif parser is not None and family.reasoning and parser not in family.reasoning:
        yield f"reasoningParser is {parser}; for {family.name} {_any_of(family.reasoning)} works."


def _thinks(spec: ModelPoolSpec, family: Family) -> bool:
    """Whether reasoning stands in the text that the model writes, as far as the spec decides it."""
    if family.thinking is Thinking.SWITCHABLE:
        return {**_default_kwargs(spec), **spec.chat_template_kwargs}.get("enable_thinking") is not False
    return family.thinking is Thinking.ALWAYS


def _template(spec: ModelPoolSpec, family: Family, text: str | None) -> Iterator[str]:
    tools = spec.tool_calling
    if tools is not None and tools.chat_template is None and family.needs_template:
        yield f"{family.name}'s own chat template leaves tools out: name one that has them in toolCalling.chatTemplate."
    kinds = [kind for kind in Template if text is not None and kind.value in text]
    if family.template is not None and kinds and family.template not in kinds:
        yield (
            f"toolCalling.chatTemplate writes {_any_of(kinds)} and {family.name} was trained on"
            f" {family.template.value}: leave it out, or take a template of that kind."
        )


def _default_kwargs(spec: ModelPoolSpec) -> Mapping[str, object]:
    """Return what vLLM is told in extraArgs to pass to the chat template by default."""
    joined = [part for argument in spec.extra_args for part in argument.split("=", 1)]
    texts = [value for name, value in pairwise(joined) if name == _TEMPLATE_KWARGS]
    try:
        given = json.loads(texts[-1]) if texts else {}
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _is_given(spec: ModelPoolSpec, argument: str) -> bool:
    return any(part.split("=", 1)[0] == argument for part in spec.extra_args)


def _any_of(words: tuple[str, ...] | list[Template]) -> str:
    return " or ".join(words)
