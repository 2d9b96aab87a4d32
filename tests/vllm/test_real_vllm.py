"""What the launcher and the pod's command line presume about vLLM, held against vLLM itself."""

import httpx
import pytest

from toolorch_operator.programs.crash_story import Story

pytestmark = pytest.mark.vllm

CONTEXT_TOKENS = 1024
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"


@pytest.fixture(scope="module")
def served(serve, tmp_path_factory):
    """A server that was given everything that a pool's spec can say."""
    template = tmp_path_factory.mktemp("template") / "template.jinja"
    template.write_text(TEMPLATE)
    with serve(
        str(template),
        maxModelLen=CONTEXT_TOKENS,
        maxNumSeqs=8,
        maxNumBatchedTokens=2048,
        revision="main",
        reasoningParser="qwen3",
        toolCalling={
            "parser": "hermes",
            "chatTemplate": {"configMapKeyRef": {"name": "templates", "key": "template.jinja"}},
        },
    ) as served:
        served.wait_until_healthy()
        yield served


def test_the_pods_command_line_is_understood_word_by_word(served):
    told = next(line for line in served.log.read_text().splitlines() if "non-default args" in line)
    for name, value in {
        "served_model_name": ["tiny"],
        "max_model_len": CONTEXT_TOKENS,
        "max_num_seqs": 8,
        "max_num_batched_tokens": 2048,
        "revision": "main",
        "gpu_memory_utilization": 0.9,
        "enable_auto_tool_choice": True,
        "tool_call_parser": "hermes",
        "reasoning_parser": "qwen3",
        "load_format": "dummy",
    }.items():
        assert f"'{name}': {value!r}" in told


def test_it_serves_the_model_under_the_name_of_the_spec(served):
    (model,) = httpx.get(f"{served.url}/v1/models").json()["data"]
    assert (model["id"], model["max_model_len"]) == ("tiny", CONTEXT_TOKENS)


def test_it_answers_a_chat_with_its_template(served):
    question = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    answer = httpx.post(f"{served.url}/v1/chat/completions", json=question, timeout=60).json()
    assert answer["usage"]["completion_tokens"] == 4


def test_the_start_goes_through_the_phases_in_their_order(served):
    story, phases = Story([]), [0]
    for line in served.log.read_bytes().splitlines(keepends=True):
        story.feed(1, line)
        phases += [story.phase] if story.phase != phases[-1] else []
    # Nothing is profiled on a CPU, so the second phase has no sign of its own.
    assert phases == [0, 1, 3, 4]
    assert story.name == "NONE"


def test_told_to_stop_it_ends_in_order_and_the_launcher_says_how_far_it_came(served):
    assert served.stop() in (0, 143)
    report = served.report()
    assert (report["class"], report["phase"]) == ("NONE", "P4")
