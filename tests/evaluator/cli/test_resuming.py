"""What the same command makes of a run that an earlier one left."""

from datetime import UTC, datetime

import pytest

from toolorch_api.conditions import Condition, RunCondition, Truth, is_true
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus, UnitCounts, Usage
from toolorch_evaluator.cli.folder import RunFolder
from toolorch_evaluator.cli.identity import identified
from toolorch_evaluator.cli.resuming import take_up

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


class Said:
    """A display that keeps what it is told."""

    def __init__(self):
        self.words = []

    def say(self, words):
        self.words.append(words)


@pytest.fixture
def taken(tmp_path, documents):
    """What a command with some spec finds, that an earlier one left with some status."""

    def take(status, **spec):
        run = identified(EvalRun.model_validate(documents.evalrun("smoke", **spec)), "0123456789ab")
        folder, display = RunFolder(tmp_path, run), Said()
        folder.open()
        folder.write_status(status)
        folder.create("deaths/1/p0.json", b"{}")
        found = take_up(run, folder, display)
        kept = (folder.path / "deaths").exists()
        folder.close()
        return found.status, display.words, kept

    return take


def failed(reason):
    condition = Condition(type=RunCondition.FAILED, status=Truth.TRUE, reason=reason, last_transition_time=WHEN)
    return EvalRunStatus(
        attempt=2,
        start_time=WHEN,
        completion_time=WHEN,
        reason=reason,
        units=UnitCounts(total=10, done=4),
        usage=Usage(prompt_tokens=60, completion_tokens=40),
        conditions=[condition],
    )


def test_a_run_whose_budget_is_used_up_stays_as_it_is_and_says_what_to_raise(taken):
    before = failed("BudgetExhausted")
    status, words, kept = taken(before, budget={"tokens": 100})
    assert status == before
    assert words == ["smoke: 100 tokens of 100 used; with a larger spec.budget it goes on"]
    assert kept


def test_a_larger_budget_in_the_file_lets_it_go_on_and_what_was_spent_stays_counted(taken):
    status, words, kept = taken(failed("BudgetExhausted"), budget={"tokens": 101})
    assert not is_true(status.conditions, RunCondition.FAILED)
    assert (status.attempt, status.attempts_before) == (3, 2)
    assert status.usage.prompt_tokens == 60
    assert words == ["smoke failed before: BudgetExhausted; trying what is missing"]
    assert not kept


def test_a_run_that_failed_otherwise_begins_again_with_its_deadline_anew(taken):
    status, _, _ = taken(failed("DeadlineExceeded"))
    assert (status.start_time, status.completion_time, status.attempt) == (None, None, 3)


def test_a_run_whose_plan_failed_is_planned_anew(taken):
    status, _, _ = taken(failed("PlanFailed").model_copy(update={"attempt": 0, "units": UnitCounts()}))
    assert (status.attempt, status.attempts_before) == (0, 0)
    assert status.reason == "Running"
