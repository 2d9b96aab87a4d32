"""What is known of model families is said of the right models, and only as a warning."""

import re
from pathlib import Path

import pytest

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_operator.modelpool.presets.families import FAMILIES, Template, Thinking, find_family
from toolorch_operator.modelpool.presets.verdict import ANNOTATION_PRESET, judge_preset

CHATML = "{{ '<|im_start|>' + message.role }}"
LLAMA = "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>' }}"
GEMMA = "{{ '<start_of_turn>' + role }}"
HARMONY = "{{ '<|start|>assistant<|channel|>analysis' }}"
OWN_TEMPLATE = {"configMapKeyRef": {"name": "t", "key": "k"}}
NO_THINKING = {"enable_thinking": False}


PAGE = Path(__file__).parents[4] / "docs" / "presets.md"


def spec_of(model, parser=None, template=None, **spec):
    tools = {"toolCalling": {"parser": parser, "chatTemplate": template}} if parser else {}
    return ModelPoolSpec.model_validate({"model": model, **tools, **spec})


def reason(*spec, text=None, annotations=None, **more):
    return str(judge_preset(spec_of(*spec, **more), text, annotations or {})[1])


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("openai/gpt-oss-20b", "gpt-oss"),
        ("nvidia/Nemotron-Orchestrator-8B", "Nemotron-Orchestrator"),
        ("nvidia/Orchestrator-8B", "Nemotron-Orchestrator"),
        ("checkpoints/nvidia/Nemotron-Orchestrator-8B/", "Nemotron-Orchestrator"),
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-FP8", "Nemotron 3"),
        ("Qwen/Qwen3-32B-FP8", "Qwen3"),
        ("hub/models--Qwen--Qwen3-8B/snapshots/9c7f2fbe", "Qwen3"),
        ("team/retail-agent-qwen3-8b-sft", "Qwen3"),
        ("Qwen/Qwen3-30B-A3B-Thinking-2507-FP8", "Qwen3 Thinking"),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct-FP8", "Qwen3 Instruct"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen3 Instruct"),
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct-AWQ", "Qwen3-Coder"),
        ("Qwen/Qwen3.5-397B-A17B", "Qwen3.5 and later"),
        ("Qwen/Qwen2.5-Coder-14B-Instruct", "Qwen2.5"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen2.5"),
        ("Qwen/QwQ-32B", "QwQ"),
        ("deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "DeepSeek-R1 and its distillates"),
        ("NousResearch/Hermes-3-Llama-3.1-70B", "Hermes 2 Pro to 3"),
        ("meta-llama/Llama-3.3-70B-Instruct", "Llama 3.1 and 3.3"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "Llama 3.1 and 3.3"),
        ("meta-llama/Llama-3.2-3B-Instruct", "Llama 3.2"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "Llama 4"),
        ("google/gemma-3-1b-it", "Gemma 3"),
        ("google/gemma-4-31B-it", "Gemma 4"),
        ("google/functiongemma-270m-it", "FunctionGemma"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "Mistral"),
        ("mistralai/Ministral-3-8B-Reasoning-2512", "Ministral 3 Reasoning"),
        ("mock/oracle", None),
        ("mock/qwen3-8b", None),
        ("Qwen/Qwen3-Embedding-8B", None),
        ("Qwen/Qwen3-8B-Base", None),
        ("teknium/OpenHermes-2.5-Mistral-7B", None),
        ("NousResearch/DeepHermes-3-Llama-3-8B-Preview", None),
        ("org/model", None),
    ],
)
def test_a_model_is_known_by_the_last_parts_of_its_name(model, family):
    found = find_family(model)
    assert (found and found.name) == family


@pytest.mark.parametrize(
    ("says", "spec", "text"),
    [
        pytest.param("parser is hermes", spec_of("openai/gpt-oss-20b", "hermes"), None, id="gpt-oss with hermes"),
        pytest.param(
            "<|start_header_id|> and Nemotron-Orchestrator was trained on <|im_start|>",
            spec_of("nvidia/Orchestrator-8B", "hermes", OWN_TEMPLATE, reasoningParser="qwen3"), LLAMA,
            id="a Llama template on a ChatML model",
        ),
        pytest.param("writes <|im_start|>", spec_of("google/gemma-3-4b-it", "pythonic", OWN_TEMPLATE), CHATML,
                     id="a ChatML template on gemma"),
        pytest.param("writes <start_of_turn>", spec_of("openai/gpt-oss-20b", "openai", OWN_TEMPLATE), GEMMA,
                     id="a gemma template on gpt-oss"),
        pytest.param("writes <|start|>", spec_of("meta-llama/Llama-3.1-8B-Instruct", "llama3_json", OWN_TEMPLATE),
                     HARMONY, id="a harmony template on Llama"),
        pytest.param("leaves tools out", spec_of("google/gemma-3-4b-it", "pythonic"), None,
                     id="gemma 3 calls tools with its own template"),
        pytest.param("reasoningParser is not set", spec_of("Qwen/Qwen3-4B-Thinking-2507", "hermes"), None,
                     id="Qwen3 Thinking without reasoning parser"),
        pytest.param("enable_thinking: false", spec_of("Qwen/Qwen3-8B"), None, id="Qwen3 that may think"),
        pytest.param("reasoningParser is not set", spec_of("Qwen/Qwen3-8B-Thinking", chatTemplateKwargs=NO_THINKING),
                     None, id="a thinking model cannot be told not to"),
        pytest.param("does not reason", spec_of("Qwen/Qwen3-Next-80B-A3B-Instruct", reasoningParser="qwen3"), None,
                     id="a reasoning parser on an instruct model"),
        pytest.param("qwen3 or deepseek_r1 works", spec_of("Qwen/Qwen3-8B", reasoningParser="granite"), None,
                     id="the reasoning parser of another family"),
        pytest.param("qwen3_xml or qwen3_coder does", spec_of("Qwen/Qwen3-Coder-30B-A3B-Instruct", "hermes"), None,
                     id="Qwen3-Coder with the parser of Qwen3"),
    ],
)  # fmt: skip
def test_what_is_known_not_to_work_is_said_with_what_works_and_who_says_so(says, spec, text):
    holds, why, sentence = judge_preset(spec, text)
    assert (holds, why) == (False, "ContradictsPreset")
    assert says in sentence
    assert find_family(spec.model).source in sentence


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param(spec_of("openai/gpt-oss-120b", "openai"), None, id="gpt-oss needs no reasoning parser"),
        pytest.param(spec_of("Qwen/Qwen3-32B-FP8", "hermes", chatTemplateKwargs=NO_THINKING), None,
                     id="Qwen3 that is told not to think"),
        pytest.param(
            spec_of("Qwen/Qwen3-8B", extraArgs=["--default-chat-template-kwargs", '{"enable_thinking": false}']), None,
            id="Qwen3 whose server is told so",
        ),
        pytest.param(spec_of("Qwen/Qwen3-8B", "hermes", OWN_TEMPLATE, reasoningParser="qwen3"), CHATML,
                     id="a template of its own kind"),
        pytest.param(spec_of("Qwen/Qwen3-8B", "hermes", OWN_TEMPLATE, reasoningParser="qwen3"), "{{ messages }}",
                     id="a template of no known kind"),
        pytest.param(spec_of("meta-llama/Llama-3.3-70B-Instruct"), None, id="a family that calls tools, asked not to"),
        pytest.param(spec_of("google/gemma-3-4b-it", "pythonic", OWN_TEMPLATE), GEMMA, id="gemma 3 with a template"),
        pytest.param(spec_of("openai/gpt-oss-20b", "mine", extraArgs=["--tool-parser-plugin=mine.py"]), None,
                     id="a parser that the user brings"),
    ],
)  # fmt: skip
def test_what_works_matches(spec, text):
    holds, why, _ = judge_preset(spec, text)
    assert (holds, why) == (True, "MatchesPreset")


def test_of_unknown_and_external_models_nothing_is_said():
    outside = {"engine": "external", "external": {"baseURL": "https://example.com/v1"}}
    assert reason("org/model", "hermes") == "NoPreset"
    assert reason("openai/gpt-oss-20b", "hermes", **outside) == "NoPreset"
    assert judge_preset(spec_of("org/model"), None)[0] is None


def test_an_annotation_silences_the_warning():
    given = {ANNOTATION_PRESET: "ignore"}
    assert reason("openai/gpt-oss-20b", "hermes", annotations=given) == "NoPreset"
    assert reason("openai/gpt-oss-20b", "hermes", annotations={ANNOTATION_PRESET: "no"}) == "ContradictsPreset"


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_each_row_of_the_table_is_usable(family):
    re.compile(family.pattern)
    assert family.reasoning or family.thinking not in (Thinking.ALWAYS, Thinking.SWITCHABLE, Thinking.PARSED)
    assert family.template in (None, *Template)
    assert family.source


def row(family):
    """The family's row of the table in the docs."""

    def words(names):
        return ", ".join(f"`{name}`" for name in names) or "–"

    thinks = "" if family.thinking is Thinking.UNKNOWN else f"{family.thinking}"
    reasons = "; ".join(part for part in (words(family.reasoning) if family.reasoning else "", thinks) if part) or "–"
    template = "–" if family.template is None else family.template.name
    own = "; its own has no tools" if family.needs_template else ""
    return f"| {family.name} | {words(family.parsers)} | {reasons} | {template}{own} | {family.source} |"


def test_the_page_has_the_rows_of_the_table_in_their_order():
    _, table = PAGE.read_text().split("|---|---|---|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    assert rows == [row(family) for family in FAMILIES]
