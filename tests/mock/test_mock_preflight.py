"""The operator's own preflight, asked of the mock: what passes, and the reason of what does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession

from toolorch_api.pool_reasons import PoolReason
from toolorch_mock.dialect import TOOL_FORMATS
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_operator.modelpool.observed import Exam, Verdict
from toolorch_operator.modelpool.preflight.answers import Reply
from toolorch_operator.modelpool.preflight.checks import preflight
from toolorch_operator.modelpool.preflight.progress import note_progress, parse_progress
from toolorch_operator.modelpool.preflight.requests import Requests

FLAGS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
OTHER_PARSER = ("--enable-auto-tool-choice", "--tool-call-parser", "jamba")


async def examine(mock: Any, calls_tools: bool = True, **template: Any) -> Verdict:
    exam = Exam("served", calls_tools, template, timeout_seconds=60, label="a-pool")
    conversation = preflight(Requests(exam, max_model_len=4096))
    async with ClientSession() as session:
        request = next(conversation)
        while True:
            header = {"X-Request-Id": f"preflight/{exam.label}/{request.check}"}
            url = f"{mock.url}/v1/chat/completions"
            async with session.post(url, json=request.body, headers=header) as response:
                reply = Reply(response.status, await response.text())
            try:
                request = conversation.send(reply)
            except StopIteration as end:
                return end.value


@pytest.mark.parametrize("model", ["mock/oracle", "mock/user", "mock/idle", "mock/skill-0", "mock/skill-60", "a/b"])
async def test_a_useful_model_passes(running, model):
    async with running(*FLAGS, "--max-model-len", "4096", model=model) as mock:
        verdict = await examine(mock)
        assert (verdict.reason, verdict.passed) == (PoolReason.CALLS_TOOLS, True), verdict.message


async def test_a_user_without_tools_passes_without_them(running):
    async with running(model="mock/user") as mock:
        assert (await examine(mock, calls_tools=False)).reason == PoolReason.SERVES_MODEL


@pytest.mark.parametrize(
    ("flags", "passes"),
    [((), False), (("--reasoning-parser", "qwen3"), True)],
    ids=["leaks without a parser", "is useful with one"],
)
async def test_a_model_that_thinks(running, flags, passes):
    async with running(*FLAGS, *flags, model="mock/thinking") as mock:
        expected = PoolReason.CALLS_TOOLS if passes else PoolReason.REASONING_LEAKS_INTO_CONTENT
        assert (await examine(mock)).reason == expected
        assert (await examine(mock, enable_thinking=False)).passed


@pytest.mark.parametrize(
    ("model", "flags", "faults", "reason"),
    [
        pytest.param("mock/silent", FLAGS, FaultSettings(), "ModelDoesNotCallTools", id="a silent model"),
        pytest.param("mock/cut", FLAGS, FaultSettings(), "ToolArgumentsInvalid", id="cut arguments"),
        pytest.param("mock/oracle", (), FaultSettings(), "AutoToolChoiceDisabled", id="no parser"),
        pytest.param("mock/oracle", FLAGS, FaultSettings(crash=Crash.RUN_OOM), "CompletionFailed", id="a dead engine"),
    ],
)
async def test_a_useless_server_is_named(running, model, flags, faults, reason):
    async with running(*flags, model=model, faults=faults) as mock:
        verdict = await examine(mock)
        assert (verdict.reason, verdict.passed) == (reason, False)


@pytest.mark.parametrize("tool_format", TOOL_FORMATS)
async def test_the_parser_that_a_leaking_model_wants_is_named(running, tool_format):
    async with running(*OTHER_PARSER, faults=FaultSettings(tool_format=tool_format)) as mock:
        verdict = await examine(mock)
        assert verdict.reason == PoolReason.TOOL_CALLS_NOT_PARSED
        assert tool_format in verdict.message


@pytest.mark.parametrize(
    ("faults", "stands_still"),
    [(FaultSettings(hangs_after_requests=0), True), (FaultSettings(hang_percent=100), False)],
    ids=["an engine that stands still", "a request without an end"],
)
async def test_standstill_is_told_from_hard_work(running, faults, stands_still):
    async with running(faults=faults, token_seconds=0.01) as mock:
        asked = asyncio.create_task(mock.ask())
        while await mock.metric("num_requests_running") < 1:
            pass
        note = None
        for now in range(2):
            sample = parse_progress(await mock.text("/metrics"))
            assert sample is not None
            note = note_progress(note, sample, now)
            await asyncio.sleep(0.05)
        assert note is not None
        assert (note.stalled_seconds > 0) is stands_still
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
