"""A crash of vLLM itself: its last words, what the ladder makes of them, and the server that comes up then."""

from datetime import UTC, datetime

import httpx
import pytest

from toolorch_api.modelpool_status import Effective, Ladder
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.memory.climb import climb, start
from toolorch_operator.modelpool.memory.crashes import parse_crashes
from toolorch_operator.modelpool.observed import Exam
from toolorch_operator.modelpool.pods import PodView, Termination
from toolorch_operator.models import examine

pytestmark = pytest.mark.vllm

MORE_TOKENS_THAN_FIT = 4_000_000
POOL = {
    "maxModelLen": MORE_TOKENS_THAN_FIT,
    "toolCalling": {"parser": "hermes"},
    "extraArgs": ["--hf-overrides", f'{{"max_position_embeddings": {MORE_TOKENS_THAN_FIT}}}'],
}
# Four answers of up to 1024 tokens, of which one busy core makes some 50 per second.
EXAM = Exam("tiny", calls_tools=True, template_kwargs={}, timeout_seconds=200, label="pool")


@pytest.fixture(scope="module")
def crashed(serve):
    """A server that has ended, for its context does not fit, and its exit code."""
    with serve(**POOL) as served:
        return served, served.program.wait(300)


@pytest.fixture(scope="module")
def step(crashed):
    """What the ladder makes of the crash."""
    served, code = crashed
    end = Termination(0, code, "Error", served.word.read_text())
    pod = PodView("pod", "uid", "pool-0", command=tuple(served.command), terminations=(end,))
    begin = start(served.spec, Ladder(), Effective(), generation=1)
    return climb(served.spec, begin, parse_crashes([pod]), datetime.now(UTC))


@pytest.fixture(scope="module")
def remedied(serve, step):
    """A server with the settings that the ladder chose."""
    with serve(effective=step.effective, **POOL) as served:
        served.wait_until_healthy()
        yield served


def test_a_context_that_does_not_fit_is_told_with_its_numbers(crashed):
    served, code = crashed
    report = served.report()
    assert (code, report["class"], report["phase"], report["gmu"]) == (84, "KV_SMALL", "P2", 0.9)
    assert (report["mml"], report["avail"]) == (MORE_TOKENS_THAN_FIT, 1.0)
    assert 0 < report["est"] < MORE_TOKENS_THAN_FIT
    assert report["need"] > report["avail"]


def test_the_ladder_cuts_the_context_to_what_vllm_says_would_fit(crashed, step):
    (record,) = step.records
    assert (record.signature, record.field, record.from_) == ("KV_SMALL", "maxModelLen", str(MORE_TOKENS_THAN_FIT))
    assert 0 <= crashed[0].report()["est"] - step.effective.max_model_len < 16
    assert step.effective.gpu_memory_utilization == 90


def test_with_the_shorter_context_it_comes_up(remedied, step):
    (model,) = httpx.get(f"{remedied.url}/v1/models").json()["data"]
    assert model["max_model_len"] == step.effective.max_model_len


async def test_a_model_that_knows_nothing_is_said_to_call_no_tools_and_not_to_be_misread(remedied):
    async with httpx.AsyncClient(trust_env=False) as client:
        seen = await examine(f"{remedied.url}/v1", client, EXAM)
    assert (seen.healthy, seen.version[:2], seen.preflight.passed) == (True, "0.", False)
    assert seen.preflight.reason == PoolReason.MODEL_DOES_NOT_CALL_TOOLS, seen.preflight.message
    assert "calls no tool by itself; it does under tool_choice required" in seen.preflight.message


@pytest.mark.parametrize(("tokens", "finish"), [(128, "tool_calls"), (24, "length")], ids=["to its end", "cut"])
def test_a_forced_call_takes_the_form_of_the_parser(remedied, tokens, finish):
    gauge = {"type": "string", "enum": ["north", "south"]}
    schema = {"type": "object", "properties": {"gauge": gauge}, "required": ["gauge"]}
    question = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "How high?"}],
        "tools": [{"type": "function", "function": {"name": "read", "strict": True, "parameters": schema}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_tokens": tokens,
        "temperature": 0,
    }
    (choice,) = httpx.post(f"{remedied.url}/v1/chat/completions", json=question, timeout=60).json()["choices"]
    assert choice["finish_reason"] == finish
    if finish == "length":
        # It looks like a call that no parser took, and is none: see _explain of the preflight.
        assert "<tool_call>" in choice["message"]["content"]
    else:
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["arguments"] in ('{"gauge": "north"}', '{"gauge": "south"}')
