"""How long models took, summed up from the events of all calls."""

import pytest

from toolorch_evaluator.latency import LatencySums

EVENT = {"role": "agent", "pool": "p", "cause": "", "ms": 100, "tries": 1, "completion_tokens": 10}


def sum_up(*events):
    sums = LatencySums()
    for event in events:
        sums.add(EVENT | event)
    (row,) = sums.rows()
    return row


def test_latency_is_of_answered_calls_and_counts_the_others():
    row = sum_up({"ms": 100}, {"ms": 200}, {"ms": 300, "tries": 3}, {"cause": "model_timeout", "ms": 9000})
    assert (row.calls, row.failed, row.retried, row.p50_ms, row.max_ms) == (3, 1, 1, 200, 300)
    assert row.tokens_per_second == pytest.approx(50)


def test_times_to_first_token_are_of_streamed_answers_alone():
    row = sum_up({"first_ms": 10}, {"first_ms": 30}, {"first_ms": None}, {})
    assert (row.first_p50_ms, row.first_p95_ms) == (20, pytest.approx(29))


def test_nobody_invents_a_time_to_first_token():
    row = sum_up({"first_ms": None})
    assert (row.first_p50_ms, row.first_p95_ms) == (None, None)


def test_waits_stand_apart_from_the_calls_own_time():
    row = sum_up(*({"waited_ms": ms} for ms in (0, 0, 0, 4000)))
    assert (row.mean_ms, row.waited_p95_ms) == (100, pytest.approx(3400))


def test_failed_tries_are_counted_by_cause_those_of_failed_calls_too():
    row = sum_up({"failed": ["model_busy", "model_busy"]}, {"failed": ["model_timeout"], "cause": "model_timeout"})
    assert row.troubles == {"model_busy": 2, "model_timeout": 1}


def test_shortened_answers_are_counted():
    assert sum_up({"cut_tokens": 100}, {"cut_tokens": 0}).cut == 1
