"""What vLLM answers where it refuses, and what it counts, as the operator and the evaluator read it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import openai
import pytest

from toolorch_api.pool_reasons import PoolReason
from toolorch_evaluator.refusals import classify
from toolorch_evaluator.sending import Request, send
from toolorch_evaluator.windows import find_window
from toolorch_operator.modelpool.observed import Exam
from toolorch_operator.modelpool.preflight.progress import note_progress
from toolorch_operator.models import examine, read_progress

pytestmark = pytest.mark.vllm

CONTEXT_TOKENS = 2048
BATCH_TOKENS = 512
ANSWER_TOKENS = 1500
LOOK_SECONDS, LOOKS = 0.2, 100
HELLO = [{"role": "user", "content": "Hello"}]
LETTERS = (7, 90)
"""Tokens of the tiny model that are one printable character each."""
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOO_LONG = [{"role": "user", "content": "7" * 3 * CONTEXT_TOKENS}]


@pytest.fixture(scope="module")
def served(serve):
    """A server that was given no tool-call parser."""
    with serve(maxNumBatchedTokens=BATCH_TOKENS, maxNumSeqs=8) as served:
        served.wait_until_healthy()
        yield served


@pytest.fixture
async def client():
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield client


@pytest.mark.parametrize(
    ("calls_tools", "reason"),
    [
        pytest.param(True, PoolReason.AUTO_TOOL_CHOICE_DISABLED, id="that shall call tools"),
        pytest.param(False, PoolReason.SERVES_MODEL, id="that need not call tools"),
    ],
)
async def test_without_a_parser_the_preflight_of_a_model(served, client, calls_tools, reason):
    exam = Exam("tiny", calls_tools, {}, 100, "pool")
    seen = await examine(f"{served.url}/v1", client, exam)
    assert (seen.preflight.reason, seen.preflight.passed) == (reason, not calls_tools)


@pytest.mark.parametrize(
    ("more", "status", "is_overflow"),
    [
        pytest.param({"messages": TOO_LONG}, 400, True, id="a conversation that is too long"),
        pytest.param({"max_tokens": 2 * CONTEXT_TOKENS}, 400, False, id="an answer that never fits"),
        pytest.param({"model": "another"}, 404, False, id="a model that it does not serve"),
    ],
)
async def test_only_what_the_conversation_has_grown_to_is_scored_as_the_models_failure(
    served, client, more, status, is_overflow
):
    body = {"model": "tiny", "messages": HELLO, **more}
    answer = await client.post(f"{served.url}/v1/chat/completions", json=body)
    trouble = classify(answer.status_code, answer.text, NOON, max_tokens=body.get("max_tokens"))
    assert (answer.status_code, trouble.overflow, trouble.passing) == (status, is_overflow, False), answer.text


async def test_an_answer_that_may_take_the_whole_context_gets_what_the_conversation_leaves(served, client):
    body = {"model": "tiny", "messages": HELLO, "max_tokens": CONTEXT_TOKENS, "ignore_eos": True}
    answer = (await client.post(f"{served.url}/v1/chat/completions", json=body)).json()
    assert answer["usage"]["total_tokens"] == CONTEXT_TOKENS
    assert answer["choices"][0]["finish_reason"] == "length"


async def test_its_list_of_models_tells_the_window(served, client):
    assert find_window((await client.get(f"{served.url}/v1/models")).content, "tiny") == CONTEXT_TOKENS


async def test_a_streamed_answer_equals_the_plain_one(served):
    # Random weights would write what has no text at all.
    letters = {"temperature": 0, "ignore_eos": True, "allowed_token_ids": list(range(*LETTERS))}
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 50, **letters}
    async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="EMPTY", max_retries=0) as client:
        plain = await send(client, Request(body, "1", 60))
        streamed = await send(client, Request(body, "2", 60, stream=True))
    assert (plain.completion_tokens, plain.first_seconds) == (50, None)
    assert len(plain.reply.content) == 50
    assert streamed.first_seconds > 0
    assert replace(streamed, first_seconds=None) == plain


async def test_its_metrics_tell_whether_it_works_and_whether_it_moves(served, client):
    before = await read_progress(served.url, client)
    body = {"model": "tiny", "messages": HELLO, "max_tokens": ANSWER_TOKENS, "ignore_eos": True}
    asked = asyncio.create_task(client.post(f"{served.url}/v1/chat/completions", json=body))
    looks = []
    while not asked.done():
        looks.append(await read_progress(served.url, client))
        await asyncio.sleep(LOOK_SECONDS)
    # The last step is counted when the answer is on its way.
    for _ in range(LOOKS):
        after = await read_progress(served.url, client)
        if not after.running:
            break
        await asyncio.sleep(LOOK_SECONDS)
    usage = (await asked).json()["usage"]
    moved = [new - old for new, old in zip(after.counters, before.counters, strict=True)]
    assert before.running == 0
    assert moved[:2] == [usage["prompt_tokens"], ANSWER_TOKENS]
    assert moved[2] >= ANSWER_TOKENS
    working = [look for look in looks if look.running == 1]
    assert len({look.counters for look in working}) > 1
    note = None
    for second, look in enumerate(looks):
        note = note_progress(note, look, float(second))
    assert note.stalled_seconds < len(looks) / 2


async def test_an_engine_that_dies_at_work_is_told_from_one_that_was_stopped(served, client):
    # On a CPU, a seed and a prompt of several batches end the engine of this version. No test may follow this one.
    long = [{"role": "user", "content": "7" * 2 * BATCH_TOKENS}]
    body = {"model": "tiny", "messages": long, "max_tokens": 4, "temperature": 1, "seed": 1}
    answer = await client.post(f"{served.url}/v1/chat/completions", json=body)
    trouble = classify(answer.status_code, answer.text, NOON)
    assert (trouble.passing, trouble.lost) == (True, True), answer.text
    assert await asyncio.to_thread(served.program.wait, 60) == 90
    report = served.report()
    assert (report["class"], report["phase"]) == ("NONE", "P4")
