"""Faults: parsing, and which starts and requests they fall upon."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolorch_mock.arguments import parse_options
from toolorch_mock.deaths import choose_death
from toolorch_mock.dialect import TOOL_FORMATS
from toolorch_mock.faults import Crash, Fate, FaultSettings, choose_fate
from toolorch_mock.memory import Gpu, fit_length
from toolorch_mock.starts import count_start, hold_memory
from toolorch_mock.variables import BadFaultError, parse_faults

SMALL = {"MOCK_GPU_GIB": "24", "MOCK_WEIGHTS_GIB": "15"}


def death(arguments: str = "", start: int = 1, **environment: str) -> Crash | None:
    options = parse_options(["serve", "mock/oracle", *arguments.split()])
    return choose_death(options, parse_faults(environment), start)


def test_no_variable_means_no_fault():
    assert parse_faults({}) == FaultSettings()


def test_all_variables_are_read():
    environment = {
        "MOCK_OOM_ABOVE_UTILIZATION": "88",
        "MOCK_START_SECONDS": "1.5",
        "MOCK_LATENCY_MS": "20",
        "MOCK_ERROR_PERCENT": "5",
        "MOCK_HANG_PERCENT": "1",
        "MOCK_CRASH": "RACE",
        "MOCK_MAX_SEQS": "64",
        "MOCK_MAX_BATCHED_TOKENS": "2048",
        "MOCK_GPU_GIB": "24",
        "MOCK_WEIGHTS_GIB": "8",
        "MOCK_KV_KIB_PER_TOKEN": "96",
        "MOCK_FREE_GIB": "20.5",
        "MOCK_RACE_STARTS": "2",
        "MOCK_HOST_MEMORY_MIB": "300",
        "MOCK_RUN_OOM_AFTER_REQUESTS": "0",
        "MOCK_ENGINE_HANGS_AFTER_REQUESTS": "7",
        "MOCK_SERVED_NAME": "other",
        "MOCK_TOOL_FORMAT": "llama3_json",
        "MOCK_FLOOD_UNIT": "control/retail/3/0",
        "MOCK_FLOOD_MIB": "300",
    }
    gpu = Gpu(24, 8, 96, is_limited=True, free_gib=20.5)
    expected = FaultSettings(
        88, 1.5, 20, 5, 1, Crash.RACE, 64, 2048, gpu, 2, 300, 0, 7, "other", "llama3_json", "control/retail/3/0", 300
    )
    assert parse_faults(environment) == expected


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        return self.setdefault(name, default)


def test_every_variable_crash_and_format_is_in_the_documentation():
    environment = Asked()
    parse_faults(environment)
    page = (Path(__file__).parents[2] / "docs" / "mock.md").read_text()
    assert [word for word in (*environment, *Crash, *TOOL_FORMATS) if f"`{word}`" not in page] == []


@pytest.mark.parametrize("value", ["x", "-1", "101", "nan", "inf"])
def test_a_bad_value_is_named_with_what_is_allowed(value):
    with pytest.raises(BadFaultError, match=f"MOCK_ERROR_PERCENT is '{value}'; a number from 0 to 100 is allowed"):
        parse_faults({"MOCK_ERROR_PERCENT": value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MOCK_CRASH", "OOM", "one of FREE_LT, EXT, .* is allowed"),
        ("MOCK_TOOL_FORMAT", "herms", "one of hermes, .* is allowed"),
        ("MOCK_MAX_SEQS", "1.5", "a whole number from 0 to"),
        ("MOCK_RACE_STARTS", "-1", "a whole number from 0 to"),
        ("MOCK_KV_KIB_PER_TOKEN", "0", "a token needs some memory"),
    ],
)
def test_other_bad_values_are_named_too(name, value, said):
    with pytest.raises(BadFaultError, match=f"{name} is '{value}'; {said}"):
        parse_faults({name: value})


@pytest.mark.parametrize(("utilization", "dies"), [(0.95, True), (0.9, True), (0.88, False), (0.85, False)])
def test_an_engine_dies_above_the_utilization_and_not_at_it(utilization, dies):
    found = death(f"--gpu-memory-utilization {utilization}", MOCK_OOM_ABOVE_UTILIZATION="88")
    assert found is (Crash.CAPTURE_OOM if dies else None)


@pytest.mark.parametrize("utilization", ["0.05", "0.5", "1"])
@pytest.mark.parametrize("more", ["", "--max-model-len auto", "-tp 8 --max-num-seqs 4096"])
def test_nobody_who_asked_for_no_fault_runs_out_of_memory(utilization, more):
    assert death(f"--gpu-memory-utilization {utilization} {more}") is None


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        pytest.param("", {"MOCK_WEIGHTS_GIB": "80"}, "LOAD_OOM", id="weights larger than the GPU"),
        pytest.param("-tp 2", {"MOCK_WEIGHTS_GIB": "80"}, None, id="the same weights on two GPUs"),
        pytest.param(
            "--gpu-memory-utilization .1",
            {**SMALL, "MOCK_FREE_GIB": "10"},
            "LOAD_OOM",
            id="weights larger than what others leave",
        ),
        pytest.param("--gpu-memory-utilization .7", SMALL, "KV_NONE", id="nothing left for the cache"),
        pytest.param("--gpu-memory-utilization .95", SMALL, "KV_SMALL", id="one request does not fit"),
        pytest.param("--gpu-memory-utilization .95 --max-model-len 8192", SMALL, None, id="a shorter request fits"),
        pytest.param("--gpu-memory-utilization .95 --max-model-len auto", SMALL, None, id="the length is left to it"),
        pytest.param("--gpu-memory-utilization .7 --max-model-len -1", SMALL, "AUTOFIT", id="no length fits"),
        pytest.param("", {"MOCK_FREE_GIB": "71.3"}, "FREE_LT", id="others hold some of the GPU"),
        pytest.param("--gpu-memory-utilization .89", {"MOCK_FREE_GIB": "71.3"}, None, id="what others leave is enough"),
        pytest.param("--max-num-seqs 65", {"MOCK_MAX_SEQS": "64"}, "SAMPLER_OOM", id="too many sequences"),
        pytest.param("", {"MOCK_MAX_SEQS": "255"}, "SAMPLER_OOM", id="too many sequences by default"),
        pytest.param("--max-num-seqs 64", {"MOCK_MAX_SEQS": "64"}, None, id="as many sequences as allowed"),
        pytest.param("", {"MOCK_MAX_BATCHED_TOKENS": "8191"}, "PROFILE_OOM", id="too large a batch by default"),
        pytest.param("", {"MOCK_MAX_BATCHED_TOKENS": "8192"}, None, id="as large a batch as allowed"),
        pytest.param("", {"MOCK_RUN_OOM_AFTER_REQUESTS": "3"}, "RUN_OOM", id="later, whatever the options"),
        pytest.param(
            "",
            {"MOCK_RUN_OOM_AFTER_REQUESTS": "3", "MOCK_OOM_ABOVE_UTILIZATION": "88"},
            "RUN_OOM",
            id="later, and above a utilization",
        ),
        pytest.param(
            "--gpu-memory-utilization .85",
            {"MOCK_RUN_OOM_AFTER_REQUESTS": "3", "MOCK_OOM_ABOVE_UTILIZATION": "88"},
            None,
            id="never, below a utilization",
        ),
        pytest.param(
            "", {"MOCK_CRASH": "CUDA_OOM", "MOCK_OOM_ABOVE_UTILIZATION": "88"}, "CUDA_OOM", id="named, above a limit"
        ),
        pytest.param(
            "--max-num-seqs 8", {"MOCK_CRASH": "MAMBA", "MOCK_MAX_SEQS": "8"}, None, id="named, within a limit"
        ),
        pytest.param(
            "", {"MOCK_WEIGHTS_GIB": "80", "MOCK_FREE_GIB": "1"}, "FREE_LT", id="the first in time of several"
        ),
    ],
)
def test_what_a_server_dies_of_follows_from_memory_limits_and_command_line(arguments, environment, expected):
    assert death(arguments, **environment) == expected


@pytest.mark.parametrize("crash", Crash)
def test_a_named_crash_comes_always(crash):
    assert death("--gpu-memory-utilization .5 --max-num-seqs 1", MOCK_CRASH=crash) is crash


def test_an_automatic_context_length_is_what_fits():
    faults = parse_faults(SMALL)
    options = parse_options(["serve", "m", "--gpu-memory-utilization", ".95", "--max-model-len", "auto"])
    fitted = fit_length(options, faults.gpu)
    assert 0 < fitted.max_model_len < options.max_model_len
    assert faults.gpu.kv_needed(fitted) <= faults.gpu.kv_cache(fitted)


def test_the_first_starts_race_and_later_ones_do_not(tmp_path):
    environment = {"HOME": str(tmp_path), "MOCK_RACE_STARTS": "2"}
    starts = [count_start(environment) for _ in range(3)]
    assert [death(start=start, **environment) for start in starts] == ["RACE", "RACE", None]


def test_starts_that_cannot_be_counted_are_said(tmp_path):
    with pytest.raises(BadFaultError, match=r"MOCK_RACE_STARTS counts starts in .*no-such-folder"):
        count_start({"HOME": str(tmp_path / "no-such-folder")})


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def test_memory_of_the_host_is_really_taken():
    before = resident_mib()
    held = hold_memory(64)
    assert resident_mib() - before > 60
    del held


def test_errors_hit_their_share_and_a_retry_is_drawn_anew():
    faults = FaultSettings(error_percent=20)
    ids = [f"run/control/retail/{i}/1/agent/1" for i in range(2000)]
    first = {i for i in ids if choose_fate(faults, i, 1) is Fate.ERROR}
    second = {i for i in ids if choose_fate(faults, i, 2) is Fate.ERROR}
    assert 0.17 < len(first) / len(ids) < 0.23
    assert len(first & second) < 0.4 * len(first)


def test_a_request_hangs_only_at_its_first_try():
    faults = FaultSettings(hang_percent=100)
    assert [choose_fate(faults, "x", attempt) for attempt in (1, 2)] == [Fate.HANG, Fate.ANSWER]
