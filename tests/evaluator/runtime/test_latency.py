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


def test_the_spread_of_a_sample_by_hand():
    row = sum_up(*({"ms": ms} for ms in (1000, 2000, 3000, 4000, 10_000)))
    assert (row.min_ms, row.mean_ms, row.max_ms, row.share_under_5s) == (1000, 4000, 10_000, 0.8)
    assert row.std_ms == pytest.approx(3535.5339)  # sqrt(50e6 / 4)
    shares = (row.p10_ms, row.p25_ms, row.p50_ms, row.p75_ms, row.p90_ms, row.p95_ms, row.p99_ms)
    assert shares == pytest.approx((1400, 2000, 3000, 4000, 7600, 8800, 9760))
    assert sum(row.histogram) == 5
    assert max(row.histogram) == 1


def test_tokens_of_answers_that_nobody_can_read_are_spent_but_set_no_pace():
    row = sum_up({"prompt_tokens": 7}, {"cause": "invalid_reply", "prompt_tokens": 5, "completion_tokens": 90})
    assert (row.prompt_tokens, row.completion_tokens, row.tokens_per_second) == (12, 100, 100)


def test_an_experts_call_is_a_row_of_its_own_and_the_judges_is_the_evaluators():
    sums = LatencySums()
    for role, ms in (("judge", 7000), ("expert-1", 9000), ("agent", 100), ("user", 50)):
        sums.add(EVENT | {"role": role, "ms": ms})
    rows = sums.rows()
    assert [(r.role, r.part, r.max_ms) for r in rows] == [
        ("agent", "agent", 100),
        ("user", "user", 50),
        ("expert-1", "expert", 9000),
        ("judge", "evaluator", 7000),
    ]


def test_a_call_is_under_way_from_the_try_that_was_answered():
    sums = LatencySums()
    sums.add(EVENT | {"at": "1970-01-01T00:01:40.000+00:00", "waited_ms": 2000, "ms": 3000})
    assert sums.under_way.reach == (102, 105)
