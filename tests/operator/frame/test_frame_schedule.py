"""The schedule: a key is never lost, never worked on twice at once, and never worked on before it is due."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toolorch_operator.schedule import Schedule

KEYS = st.sampled_from("abc")


def test_of_several_due_times_the_earliest_counts():
    schedule = Schedule()
    schedule.add("a", 10.0)
    schedule.add("a", 5.0)
    schedule.add("a", 20.0)
    assert schedule.take(4.9) is None
    assert schedule.take(5.0) == "a"
    schedule.done("a")
    assert schedule.next_due() is None


def test_a_key_added_while_it_is_worked_on_is_taken_once_more_and_not_before_it_is_done():
    schedule = Schedule()
    schedule.add("a", 0.0)
    assert schedule.take(0.0) == "a"
    schedule.add("a", 0.0)
    schedule.add("a", 1.0)
    assert schedule.take(5.0) is None
    schedule.done("a")
    assert schedule.take(5.0) == "a"
    schedule.done("a")
    assert schedule.take(5.0) is None


def test_the_key_that_is_due_for_longest_comes_first():
    schedule = Schedule()
    schedule.add("late", 2.0)
    schedule.add("early", 1.0)
    assert [schedule.take(3.0), schedule.take(3.0)] == ["early", "late"]


def test_backoff_doubles_to_its_cap_and_starts_afresh_after_success():
    schedule = Schedule(base=0.2, cap=1.0)
    assert [schedule.failed("a") for _ in range(4)] == [0.2, 0.4, 0.8, 1.0]
    for _ in range(2000):
        schedule.failed("a")
    schedule.forget("a")
    assert schedule.failed("a") == pytest.approx(0.2)


def test_lag_and_longest_active_say_how_stuck_it_is():
    schedule = Schedule()
    schedule.add("a", 1.0)
    assert schedule.lag(0.5) == 0.0
    assert schedule.lag(4.0) == 3.0
    schedule.take(4.0)
    assert (schedule.lag(9.0), schedule.longest_active(9.0)) == (0.0, 5.0)


class ScheduleMachine(RuleBasedStateMachine):
    """Compares the schedule with the plainest model of it: a dict of due times."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[str] = Schedule()
        self.due: dict[str, float] = {}
        self.active: set[str] = set()
        self.now = 0.0

    @rule(key=KEYS, after=st.integers(0, 5))
    def add(self, key: str, after: int) -> None:
        self.schedule.add(key, self.now + after)
        self.due[key] = min(self.due.get(key, float("inf")), self.now + after)

    @rule(seconds=st.integers(1, 4))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        ready = {k: d for k, d in self.due.items() if d <= self.now and k not in self.active}
        key = self.schedule.take(self.now)
        assert (key is None) == (not ready)
        if key is not None:
            assert ready[key] == min(ready.values())
            del self.due[key]
            self.active.add(key)

    @rule(key=KEYS)
    def done(self, key: str) -> None:
        if key in self.active:
            self.schedule.done(key)
            self.active.discard(key)

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert self.schedule.waiting == self.due
        assert set(self.schedule.active) == self.active
        free = [d for k, d in self.due.items() if k not in self.active]
        assert self.schedule.next_due() == (min(free) if free else None)


TestScheduleMachine = ScheduleMachine.TestCase
TestScheduleMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
