"""The operator's ladder against the mock's memory: each failure that has a remedy is healed, the others are named."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.modelpool_status import Effective, Ladder
from toolorch_mock.arguments import parse_options
from toolorch_mock.deaths import LAST_PHASE, choose_death
from toolorch_mock.last_words import last_words
from toolorch_mock.phases import render, start_lines
from toolorch_mock.variables import parse_faults
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.memory.climb import Climb, climb, find_stall, start
from toolorch_operator.modelpool.memory.crashes import parse_crashes
from toolorch_operator.modelpool.pods import PodView, Termination
from toolorch_operator.programs.crash_story import Story

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
# More starts than any ladder takes.
FOR_EVER = 20
SMALL = {"MOCK_GPU_GIB": "24", "MOCK_WEIGHTS_GIB": "15"}


def report_of(command: list[str], environment: dict[str, str], number: int) -> str:
    """What the launcher would leave of this start, "" for a server that lives."""
    options, faults = parse_options(command[1:]), parse_faults(environment)
    death = choose_death(options, faults, number)
    if death is None:
        return ""
    lines = [line for line in start_lines(options, faults.gpu) if line.phase <= LAST_PHASE[death]]
    story = Story(command)
    for line in (*lines, *last_words(death, options, faults)):
        story.feed(2, f"{render(line, 7, NOON)}\n".encode())
    return json.dumps(story.report())


def settle(environment: dict[str, str], **fields: Any) -> tuple[Climb, str]:
    """Start a pool's server until it lives or nothing more is changed; the reason of the latter, or ""."""
    spec = ModelPoolSpec.model_validate({"model": "mock/oracle", "gpuMemoryUtilization": 95, **fields})
    at, pod, run = start(spec, Ladder(), Effective(), 1), 0, 0
    for number in range(1, FOR_EVER):
        command = serve_command(spec, at.effective)
        report = report_of(command, environment, number)
        if not report:
            return at, ""
        end = Termination(run, 1, "Error", report, "")
        view = PodView("p-0-x", f"uid-{pod}", "p-0", created="", terminations=(end,), command=tuple(command))
        [crash] = parse_crashes([view])
        at = climb(spec, start(spec, at.ladder, at.effective, 1), [crash], NOON)
        if stall := find_stall(spec, at, crash):
            return at, stall.reason
        pod, run = (pod, run + 1) if at.records[-1].field == "restart" else (pod + 1, 0)
    raise AssertionError("it never ends")


@pytest.mark.parametrize(
    ("environment", "spec", "healed"),
    [
        pytest.param(
            {"MOCK_OOM_ABOVE_UTILIZATION": "88"}, {}, {"gpu_memory_utilization": 85}, id="graphs take too much"
        ),
        pytest.param(
            {"MOCK_OOM_ABOVE_UTILIZATION": "88", "MOCK_CRASH": "CUDA_OOM"},
            {},
            {"gpu_memory_utilization": 85},
            id="something takes too much",
        ),
        pytest.param(
            {"MOCK_OOM_ABOVE_UTILIZATION": "88", "MOCK_RUN_OOM_AFTER_REQUESTS": "9"},
            {},
            {"gpu_memory_utilization": 85},
            id="requests take too much",
        ),
        pytest.param(
            SMALL,
            {"gpuMemoryUtilization": 70, "maxModelLen": 4096},
            {"gpu_memory_utilization": 75, "max_model_len": 4096},
            id="no cache at all",
        ),
        pytest.param(SMALL, {}, {"gpu_memory_utilization": 95, "max_model_len": 42960}, id="a context too long"),
        pytest.param({"MOCK_FREE_GIB": "60"}, {}, {"gpu_memory_utilization": 73}, id="a GPU that others use"),
        pytest.param({"MOCK_MAX_SEQS": "64"}, {}, {"max_num_seqs": 64}, id="too many sequences for the sampler"),
        pytest.param(
            {"MOCK_MAX_SEQS": "48", "MOCK_CRASH": "MAMBA"}, {}, {"max_num_seqs": 48}, id="too many sequences for Mamba"
        ),
        pytest.param(
            {"MOCK_MAX_BATCHED_TOKENS": "2048"},
            {"maxNumBatchedTokens": 8192},
            {"max_num_batched_tokens": 2048},
            id="batches too large",
        ),
        pytest.param({"MOCK_RACE_STARTS": "2"}, {}, {"gpu_memory_utilization": 95}, id="a race lost twice"),
    ],
)
def test_what_is_healed(environment, spec, healed):
    allow = ["GpuMemoryUtilization", "MaxModelLen", "MaxNumSeqs", "MaxNumBatchedTokens"]
    at, reason = settle(environment, remediation={"allow": allow}, **spec)
    assert reason == ""
    assert {name: getattr(at.effective, name) for name in healed} == healed


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({"MOCK_WEIGHTS_GIB": "80"}, "ModelDoesNotFit", id="weights larger than the GPU"),
        pytest.param({"MOCK_CRASH": "FREE_LT"}, "GPUOccupied", id="a GPU that others use ever more of"),
        pytest.param({"MOCK_CRASH": "SHM"}, "SharedMemoryTooSmall", id="no shared memory"),
        pytest.param({"MOCK_CRASH": "NONE"}, "UnclassifiedCrash", id="something else"),
        pytest.param({"MOCK_CRASH": "RACE"}, "RemediationExhausted", id="a race lost for ever"),
        pytest.param({"MOCK_CRASH": "KV_NONE"}, "RemediationExhausted", id="no cache, whatever the utilization"),
    ],
)
def test_what_is_named(environment, expected):
    assert settle(environment)[1] == expected
