"""Each crash's log, read by the story that the launcher makes of a real server's."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from toolorch_mock.arguments import ServeOptions, parse_options
from toolorch_mock.deaths import LAST_PHASE, choose_death
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_mock.last_words import last_words
from toolorch_mock.memory import Gpu
from toolorch_mock.phases import render, start_lines
from toolorch_operator.programs.crash_story import Story

SMALL = FaultSettings(gpu=Gpu(24, 15, is_limited=True))


def options_of(*arguments: str) -> ServeOptions:
    return parse_options(["serve", "mock/oracle", *arguments])


def log_of(options: ServeOptions, faults: FaultSettings) -> str:
    """What a start prints until it dies."""
    crash = choose_death(options, faults, 1)
    assert crash is not None
    lines = [line for line in start_lines(options, faults.gpu) if line.phase <= LAST_PHASE[crash]]
    lines += last_words(crash, options, faults)
    now = datetime(2026, 1, 1)  # noqa: DTZ001
    return "\n".join(render(line, 7, now) for line in lines) + "\n"


def story_of(*arguments: str, faults: FaultSettings) -> Story:
    story = Story(["vllm", "serve", *arguments])
    story.feed(2, log_of(options_of(*arguments), faults).encode())
    story.feed(2, b"")
    return story


@pytest.mark.parametrize("more", [(), ("--enforce-eager", "-tp", "4")], ids=["one GPU", "four GPUs and no graphs"])
@pytest.mark.parametrize("crash", Crash)
def test_each_crash_is_read_as_what_it_is(crash, more):
    assert story_of(*more, faults=FaultSettings(crash=crash)).name == crash


@pytest.mark.parametrize(
    ("crash", "phase"),
    [
        ("FREE_LT", "P0"),
        ("LOAD_OOM", "P1"),
        ("PROFILE_OOM", "P2"),
        ("SAMPLER_OOM", "P2"),
        ("CAPTURE_OOM", "P3"),
        ("MAMBA", "P3"),
        ("RUN_OOM", "P4"),
    ],
)
def test_a_crash_comes_in_its_phase(crash, phase):
    assert story_of(faults=FaultSettings(crash=Crash(crash))).fields["phase"] == phase


def test_a_crash_without_a_phase_has_none_in_its_log():
    assert story_of(faults=FaultSettings(crash=Crash.CUDA_OOM)).phase == 0


def test_the_numbers_of_a_taken_gpu_are_those_of_the_command_line():
    fields = story_of("--gpu-memory-utilization", "0.95", faults=FaultSettings(gpu=Gpu(80, 15, free_gib=60))).fields
    assert (fields["free"], fields["total"], fields["gmu"]) == (60, 80, 0.95)


@pytest.mark.parametrize("utilization", ["0.75", "0.8", "0.9", "0.95"])
def test_the_estimated_length_works_and_one_block_more_does_not(utilization):
    fields = story_of("--gpu-memory-utilization", utilization, faults=SMALL).fields
    assert fields["mml"] == 131072
    for length, found in ((fields["est"], None), (fields["est"] + 16, Crash.KV_SMALL)):
        again = options_of("--gpu-memory-utilization", utilization, "--max-model-len", str(length))
        assert choose_death(again, SMALL, 1) is found


def test_the_missing_cache_is_had_by_raising_the_utilization():
    faults = replace(SMALL, gpu=replace(SMALL.gpu, kv_kib_per_token=24))
    fields = story_of("--gpu-memory-utilization", "0.75", faults=faults).fields
    enough = 0.75 + (fields["need"] - fields["avail"]) / faults.gpu.total_gib + 0.01
    assert choose_death(options_of("--gpu-memory-utilization", f"{enough:.2f}"), faults, 1) is None


def test_the_mamba_blocks_that_it_names_are_enough():
    faults = FaultSettings(crash=Crash.MAMBA, max_seqs=48)
    assert "at most 48 or increase" in log_of(options_of(), faults)
    assert choose_death(options_of("--max-num-seqs", "48"), faults, 1) is None


def test_a_missing_cache_is_told_with_its_negative_size():
    log = log_of(options_of("--gpu-memory-utilization", "0.5"), SMALL)
    assert "Available KV cache memory: -4.90 GiB" in log
    assert "GPU KV cache size" not in log
