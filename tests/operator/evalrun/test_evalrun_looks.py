"""Looks at a run grow with the logarithm of its length, and are close together where something is to be seen."""

from datetime import timedelta
from itertools import pairwise

import pytest

from toolorch_operator.evalrun.looks import LONGEST_LOOK, find_age, next_look, next_wait
from toolorch_operator.evalrun.observed import parse_job


def looks(length, guess, first_estimate=4):
    """The times of all looks at an attempt of so many seconds; `guess` tells the rest from the time gone."""
    times, age = [], 0.0
    while age < length:
        age += next_look(age, None if age < first_estimate else guess(length - age)).total_seconds()
        times.append(age)
    return times


def exact(rest):
    return rest


@pytest.mark.parametrize(
    ("age", "rest", "seconds"),
    [
        pytest.param(0, None, 2, id="soon after its start"),
        pytest.param(20, None, 10, id="later by half of the time gone"),
        pytest.param(10, 3, 2.1, id="just before its expected end"),
        pytest.param(20, 0, 2.5, id="an end that is overdue"),
        pytest.param(320, 0, 40, id="an end that is overdue for long"),
        pytest.param(86400, 86400, LONGEST_LOOK, id="never too late for who follows it"),
    ],
)
def test_the_next_look_at_an_attempt_is(age, rest, seconds):
    assert next_look(age, rest) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("length", "most"), [(10, 7), (60, 13), (300, 18), (600, 24), (36000, 36000 / LONGEST_LOOK + 20)]
)
@pytest.mark.parametrize(
    "guess", [exact, lambda rest: rest / 2, lambda rest: rest * 2], ids=["exact", "too early", "too late"]
)
def test_an_attempt_of_a_length_costs_few_looks_whatever_is_expected_of_it(length, most, guess):
    times = looks(length, guess)
    assert len(times) <= most
    for earlier, later in pairwise(times):
        assert later - earlier <= min(LONGEST_LOOK, max(2.0, 0.5 * earlier)) + 1e-6


def test_an_end_that_never_comes_costs_few_looks_too():
    assert len(looks(600, lambda rest: 0.0)) <= 70


def test_a_short_step_is_looked_for_often_at_first_and_with_growing_distance():
    age, count = 0.0, 0
    while age < 600:
        age, count = age + next_wait(age, 0.4).total_seconds(), count + 1
    assert count <= 40
    assert next_wait(1.0, 0.4) == timedelta(seconds=0.4)
    assert next_wait(3600.0, 0.4) == timedelta(seconds=LONGEST_LOOK)


def test_a_jobs_age_is_told_by_the_job_and_a_clock_that_runs_behind_does_no_harm(kit):
    job = parse_job({"metadata": {"name": "j", "creationTimestamp": "2026-11-20T11:59:50Z"}})
    assert find_age(job, kit.now) == 10.0
    assert find_age(job, kit.now - timedelta(minutes=1)) == 0.0
    assert find_age(None, kit.now) == find_age(parse_job({"metadata": {"name": "j"}}), kit.now) == 0.0
