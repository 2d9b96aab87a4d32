"""What is known of model families that vLLM serves: which parsers and chat templates work, and who says so. PURE.

A further family is a row. Sources are files of vllm-project/vllm (docs/features/tool_calling.md and
reasoning_outputs.md, vllm/tool_parsers, vllm/reasoning), recipes of vllm-project/recipes, the model's own card, and
the scripts with which NVlabs/ToolOrchestra serves its models; docs/presets.md shows the same table with notes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Thinking(StrEnum):
    """Whether a family writes its reasoning before its answer."""

    ALWAYS = "always"
    SWITCHABLE = "unless told not to"
    NEVER = "never"
    PARSED = "always, and vLLM parses it without being told"
    UNKNOWN = "depends on the model"


class Template(StrEnum):
    """Kinds of chat templates, by a marker that stands in each text of the kind and in no other."""

    CHATML = "<|im_start|>"
    LLAMA3 = "<|start_header_id|>"
    LLAMA4 = "<|header_start|>"
    GEMMA = "<start_of_turn>"
    HARMONY = "<|start|>"
    MISTRAL = "[INST]"


@dataclass(frozen=True, slots=True)
class Family:
    """Models of which the same is true."""

    name: str
    pattern: str
    """Regular expression that is searched in a model's lower-case name."""
    source: str
    parsers: tuple[str, ...] = ()
    """Tool-call parsers that work, the documented one first; empty: none is known."""
    thinking: Thinking = Thinking.UNKNOWN
    reasoning: tuple[str, ...] = ()
    """Reasoning parsers that work, the documented one first."""
    template: Template | None = None
    needs_template: bool = False
    """Whether its own chat template leaves tools out, so that tool calling needs another."""


_TOOLS = "vLLM docs/features/tool_calling.md"
_REASONING = "vLLM docs/features/reasoning_outputs.md"
_QWEN_REASONING = ("qwen3", "deepseek_r1")
# One class of vLLM under two names: vllm/tool_parsers/__init__.py.
_QWEN_XML = ("qwen3_xml", "qwen3_coder")
# No chat models, or with inputs and templates of their own.
_QWEN_OTHERS = r"(?!.*(embedding|reranker|guard|-vl|omni|asr|tts|-base))"
_LLAMA_OTHERS = r"(?!.*(nemotron|xlam|hermes|guard))"

# The first row that matches counts. A fine-tune carries the name of its base; those of Llama and Mistral often change
# the chat template, so there the name must begin with it.
FAMILIES = (
    Family(
        "gpt-oss", r"gpt-oss", f"{_TOOLS}, OpenAI OSS Models", ("openai",),
        Thinking.PARSED, ("openai_gptoss",), Template.HARMONY,
    ),
    Family(
        "Nemotron-Orchestrator", r"orchestrator-8b", "ToolOrchestra evaluation/run_hle.py; a fine-tune of Qwen3-8B",
        ("hermes",), Thinking.SWITCHABLE, _QWEN_REASONING, Template.CHATML,
    ),
    Family(
        "Nemotron 3", r"nemotron-3-", "vLLM recipes NVIDIA/Nemotron-3-Nano-30B-A3B.md", _QWEN_XML[::-1],
        Thinking.SWITCHABLE, ("nemotron_v3",),
    ),
    Family(
        "Hermes 2 Pro to 3", r"(?<!deep)hermes-(2-pro|2-theta|3)-", f"{_TOOLS}, Hermes Models", ("hermes",),
        template=Template.CHATML,
    ),
    Family(
        "DeepSeek-R1 and its distillates", r"deepseek-r1", _REASONING, (), Thinking.ALWAYS, ("deepseek_r1",),
    ),
    Family(
        "Qwen3-Coder", r"qwen3-coder(?!.*-base)", f"{_TOOLS}, Qwen3-Coder Models", _QWEN_XML,
        Thinking.NEVER, template=Template.CHATML,
    ),
    Family(
        "Qwen3.5 and later", r"qwen3\.[5-9]" + _QWEN_OTHERS, "vLLM recipes Qwen/Qwen3.5.md and vllm/parser/qwen3.py",
        _QWEN_XML, Thinking.SWITCHABLE, _QWEN_REASONING, Template.CHATML,
    ),
    Family(
        "Qwen3 Thinking", r"qwen3-" + _QWEN_OTHERS + r".*thinking", f"the models' cards and {_REASONING}",
        ("hermes",), Thinking.ALWAYS, _QWEN_REASONING[::-1], Template.CHATML,
    ),
    Family(
        "Qwen3 Instruct", r"qwen3-" + _QWEN_OTHERS + r".*instruct", "vLLM recipes Qwen/Qwen3-Next.md", ("hermes",),
        Thinking.NEVER, template=Template.CHATML,
    ),
    Family(
        "Qwen3", r"qwen3-" + _QWEN_OTHERS + r"\d", f"Qwen docs/source/framework/function_call.md and {_REASONING}",
        ("hermes",), Thinking.SWITCHABLE, _QWEN_REASONING, Template.CHATML,
    ),
    Family(
        "QwQ", r"qwq-32b", f"{_TOOLS}, Qwen Models, and {_REASONING}", ("hermes",),
        Thinking.ALWAYS, ("deepseek_r1",), Template.CHATML,
    ),
    Family(
        "Qwen2.5", r"qwen2\.5-" + _QWEN_OTHERS, f"{_TOOLS}, Qwen Models", ("hermes",),
        Thinking.NEVER, template=Template.CHATML,
    ),
    Family(
        "Llama 4", r"^(meta-)?llama-4-(?!.*guard)", f"{_TOOLS}, Llama Models",
        ("llama4_pythonic", "llama4_json", "llama3_json", "pythonic"), template=Template.LLAMA4,
    ),
    Family(
        "Llama 3.2", r"^(meta-)?llama-3[.-]2-" + _LLAMA_OTHERS, f"{_TOOLS}, Llama Models", ("llama3_json", "pythonic"),
        template=Template.LLAMA3,
    ),
    Family(
        "Llama 3.1 and 3.3", r"^(meta-)?llama-3[.-][13]-" + _LLAMA_OTHERS, f"{_TOOLS}, Llama Models", ("llama3_json",),
        template=Template.LLAMA3,
    ),
    Family(
        "FunctionGemma", r"functiongemma", f"{_TOOLS}, FunctionGemma Models", ("functiongemma",),
    ),
    Family(
        "Gemma 4", r"gemma-4-", "vLLM recipes Google/Gemma4.md", ("gemma4",), Thinking.UNKNOWN, ("gemma4",),
    ),
    Family(
        "Gemma 3", r"(?<![a-z])gemma-3-", "vLLM examples/tool_chat_template_gemma3_pythonic.jinja and its pull #17149",
        ("pythonic",), template=Template.GEMMA, needs_template=True,
    ),
    Family(
        "Ministral 3 Reasoning", r"ministral-3-.*reasoning", "vLLM recipes Mistral/Ministral-3-Reasoning.md",
        ("mistral",), Thinking.ALWAYS, ("mistral",), Template.MISTRAL,
    ),
    Family(
        "Mistral", r"^(mistral|ministral|mixtral|devstral|magistral)-", f"{_TOOLS}, Mistral Models", ("mistral",),
        template=Template.MISTRAL,
    ),
)  # fmt: skip

# A cache keeps a model below folders named after it, such as models--Qwen--Qwen3-8B/snapshots/<commit>.
_PARTS = 3


def find_family(model: str) -> Family | None:
    """Return the family that a hub id or path names in its last parts, the last part first; None: not known."""
    parts = [part for part in model.lower().split("/") if part]
    if parts[:1] == ["mock"]:
        return None
    for part in parts[: -_PARTS - 1 : -1]:
        found = next((family for family in FAMILIES if re.search(family.pattern, part)), None)
        if found is not None:
            return found
    return None
