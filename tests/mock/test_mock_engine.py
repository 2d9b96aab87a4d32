"""The engine of a running mock: death and standstill at run time, and what the metrics tell of it."""

from __future__ import annotations

import asyncio

import openai
import pytest

from toolorch_mock.counters import Counters, render_metrics
from toolorch_mock.faults import Crash, FaultSettings


@pytest.mark.parametrize(
    ("faults", "answered"),
    [(FaultSettings(run_oom_after_requests=2), 2), (FaultSettings(crash=Crash.RUN_OOM), 0)],
    ids=["after some requests", "at the first one"],
)
async def test_an_engine_that_runs_out_of_memory_fails_every_request_and_its_health(running, faults, answered):
    deaths = []
    async with running(faults=faults, die=lambda: deaths.append(1)) as mock:
        for _ in range(answered):
            assert (await mock.ask()).choices[0].message.content
        assert (deaths, await mock.health()) == ([], 200)
        for _ in range(2):
            with pytest.raises(openai.InternalServerError, match="EngineCore encountered an issue"):
                await mock.ask()
        assert (deaths, await mock.health()) == ([1], 503)


async def test_a_request_that_is_being_served_fails_with_the_engine(running):
    async with running(faults=FaultSettings(latency_ms=5000, run_oom_after_requests=1)) as mock:
        served = asyncio.create_task(mock.ask())
        while await mock.metric("num_requests_running") < 1:
            pass
        for request in (mock.ask(), served):
            with pytest.raises(openai.InternalServerError, match="EngineCore encountered an issue"):
                await request


async def test_an_engine_that_hangs_stays_healthy_and_busy_and_makes_no_progress(running):
    counted = ("prompt_tokens_total", "generation_tokens_total", "iteration_tokens_total_count")
    async with running(faults=FaultSettings(hangs_after_requests=1)) as mock:
        await mock.ask()
        before = [await mock.metric(name) for name in counted]
        assert min(before) > 0
        with pytest.raises(openai.APITimeoutError):
            await mock.ask(timeout=0.1)
        # The client has gone, and the engine does not know it.
        assert await mock.metric("num_requests_running") == 1
        assert [await mock.metric(name) for name in counted] == before
        assert await mock.health() == 200


async def test_a_request_that_only_takes_long_shows_progress(running):
    async with running(faults=FaultSettings(latency_ms=10000), token_seconds=0.01) as mock:
        slow = asyncio.create_task(mock.ask())
        while await mock.metric("generation_tokens_total") < 3:
            pass
        assert not slow.done()
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow


def test_the_steps_of_the_engine_are_a_histogram():
    counters = Counters()
    counters.add(prompt_tokens=99, generation_tokens=5, finish_reason="stop")
    lines = [line for line in render_metrics(counters, 'a"b').splitlines() if "iteration_tokens_total" in line]
    label = 'model_name="a\\"b"'
    assert "# TYPE vllm:iteration_tokens_total histogram" in lines
    assert f'vllm:iteration_tokens_total_bucket{{engine="0",le="1.0",{label}}} 4.0' in lines
    assert f'vllm:iteration_tokens_total_bucket{{engine="0",le="64.0",{label}}} 4.0' in lines
    assert f'vllm:iteration_tokens_total_bucket{{engine="0",le="128.0",{label}}} 5.0' in lines
    assert f'vllm:iteration_tokens_total_bucket{{engine="0",le="+Inf",{label}}} 5.0' in lines
    assert f'vllm:iteration_tokens_total_count{{engine="0",{label}}} 5.0' in lines
    assert f'vllm:iteration_tokens_total_sum{{engine="0",{label}}} 104.0' in lines
