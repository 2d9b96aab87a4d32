"""Faults: parsing, and which requests they fall upon."""

from __future__ import annotations

import pytest

from toolorch_mock.arguments import parse_options
from toolorch_mock.faults import BadFaultError, Fate, FaultSettings, choose_fate, parse_faults
from toolorch_mock.phases import death_lines, start_lines


def test_no_variable_means_no_fault():
    assert parse_faults({}) == FaultSettings()


def test_all_variables_are_read():
    environment = {
        "MOCK_OOM_ABOVE_UTILIZATION": "88",
        "MOCK_START_SECONDS": "1.5",
        "MOCK_LATENCY_MS": "20",
        "MOCK_ERROR_PERCENT": "5",
        "MOCK_HANG_PERCENT": "1",
    }
    assert parse_faults(environment) == FaultSettings(88, 1.5, 20, 5, 1)


@pytest.mark.parametrize("value", ["x", "-1", "101", "nan", "inf"])
def test_a_bad_value_is_named_with_what_is_allowed(value):
    with pytest.raises(BadFaultError, match=f"MOCK_ERROR_PERCENT is '{value}'; a number from 0 to 100 is allowed"):
        parse_faults({"MOCK_ERROR_PERCENT": value})


@pytest.mark.parametrize(("utilization", "dies"), [(0.95, True), (0.9, True), (0.88, False), (0.85, False)])
def test_an_engine_dies_above_the_utilization_and_not_at_it(utilization, dies):
    assert FaultSettings(oom_above_utilization=88).dies_at(utilization) is dies


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


def test_the_log_of_a_death_has_vllms_markers_in_order():
    options = parse_options(["serve", "mock/oracle", "--gpu-memory-utilization", "0.95"])
    lines = [*start_lines(options), *death_lines(options, FaultSettings(oom_above_utilization=88))]
    log = "\n".join(line.text for line in lines)
    markers = [
        "Starting to load model",
        "Model loading took",
        "Available KV cache memory:",
        "GPU KV cache size:",
        "Capturing CUDA graphs",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate",
        "Engine core initialization failed. See root cause above. Failed core proc(s):",
    ]
    places = [log.index(marker) for marker in markers]
    assert places == sorted(places)
