"""Two runs compared: the paired difference, its interval, and what a gate makes of it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_api.shard import Unit
from toolorch_evaluator.compared import comparison_document, show_rows
from toolorch_evaluator.comparison import Grade, Side, compare, judge, paired_interval


def side(name, rewards, domain="retail", benchmark="tau2", dataset="d" * 64):
    """One task per reward; a list of rewards is a task with several trials, None a trial without a score."""
    tasks = [task if isinstance(task, list) else [task] for task in rewards]
    trials = [(Unit("control", domain, str(i), t), r) for i, task in enumerate(tasks) for t, r in enumerate(task)]
    units = {unit: Grade(r, r == 1) for unit, r in trials if r is not None}
    return Side(name, benchmark, dataset, units)


def test_the_interval_is_bonett_and_price_s_for_0_and_1():
    """21 children before and after a treatment: 1 had symptoms before only, 7 after only."""
    low, high = paired_interval([-1.0] + [1.0] * 7 + [0.0] * 13)
    middle, spread = 6 / 23, (10 / 23 - (6 / 23) ** 2) ** 0.5
    assert low == pytest.approx(middle - 1.959964 * spread / 23**0.5, abs=1e-6) == pytest.approx(0.0134, abs=1e-4)
    assert high == pytest.approx(0.5084, abs=1e-4)


def test_equal_runs_are_not_taken_for_certainty():
    low, high = paired_interval([0.0] * 278)
    assert low == -high == pytest.approx(-0.0099, abs=1e-4)


VERDICTS = {
    "equal scores over many tasks hold": ([1] * 150, [1] * 150, 2, True, "GateHeld"),
    "equal scores over few tasks tell nothing": ([1] * 20, [1] * 20, 2, None, "GateInconclusive"),
    "equal scores over few tasks hold where much may be lost": ([1] * 20, [1] * 20, 14, True, "GateHeld"),
    "a clear fall breaches": ([1] * 100, [1] * 70 + [0] * 30, 5, False, "GateBreached"),
    "a clear fall holds where more is allowed": ([1] * 100, [1] * 70 + [0] * 30, 45, True, "GateHeld"),
    "a fall about as large as allowed is undecided": ([1] * 100, [1] * 94 + [0] * 6, 6, None, "GateInconclusive"),
    "a rise holds even where nothing may be lost": ([0] * 60, [1] * 20 + [0] * 40, 0, True, "GateHeld"),
    "four tasks are too few whatever they say": ([1] * 4, [0] * 4, 0, None, "GateInconclusive"),
    "no common unit is undecided": ([None] * 9, [1] * 9, 0, None, "GateInconclusive"),
}


@pytest.mark.parametrize("name", VERDICTS, ids=str)
def test_verdict(name):
    before, after, max_drop, passed, reason = VERDICTS[name]
    outcome = judge(compare(side("old", before), side("new", after)), max_drop)
    assert (outcome.passed, outcome.reason) == (passed, reason)


def test_the_verdict_has_the_numbers_in_it():
    outcome = judge(compare(side("old", [1] * 100), side("new", [1] * 70 + [0] * 30)), 5)
    assert outcome.message == (
        "score 0.700 against 1.000 of old over 100 tasks: −30.0 points, 95 % interval −38.7 to −20.2;"
        " a drop of 5 is allowed"
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        pytest.param({"benchmark": "hle"}, "ran hle, new tau2", id="of another benchmark"),
        pytest.param({"dataset": "e" * 64}, r"other datasets \(eeeeeeee and dddddddd\)", id="of another dataset"),
    ],
)
def test_a_run_is_no_baseline(other, words):
    outcome = judge(compare(side("old", [1] * 100, **other), side("new", [1] * 100)), 5)
    assert (outcome.passed, outcome.reason) == (None, "BaselineDiffers")
    assert re.search(words, outcome.message)


def test_trials_of_a_task_count_as_one_task_and_only_common_units_count():
    old = side("old", [[1, 1, None], [0, 1, 1], 1, 0.25])
    new = side("new", [[0, 1, 1], [0, 0, 1], None, 0.75])
    found = compare(old, new)
    row = found.whole
    assert (row.tasks, row.pairs, row.lost, row.gained) == (3, 6, 2, 0)
    assert (found.only_before, found.only_after) == (1, 1)
    assert row.before == pytest.approx((1 + 2 / 3 + 0.25) / 3)
    assert row.after == pytest.approx((1 / 2 + 1 / 3 + 0.75) / 3)
    assert found.groups == (), "one domain is the whole"


def test_each_domain_has_its_row_and_the_whole_is_last():
    old, new = side("old", [1, 1, 0]), side("new", [1, 0, 0])
    more = {Unit("control", "airline", unit.task_id, 0): g for unit, g in new.grades.items()}
    old, new = (Side(s.name, s.benchmark, s.dataset_hash, {**s.grades, **more}) for s in (old, new))
    found = compare(old, new)
    assert [(r["name"], r["tasks"], r["points"], r["lost"]) for r in show_rows(found)] == [
        ("retail", 3, "−33.3", 1),
        ("airline", 3, "+0.0", 0),
        ("all", 6, "−16.7", 1),
    ]
    document = comparison_document(found)
    assert document["whole"]["difference"] == -0.16667
    assert [g["name"] for g in document["groups"]] == ["retail", "airline"]


trials = st.lists(st.sampled_from([0, 1, None]), max_size=3)
rewards = st.lists(st.one_of(st.none(), st.floats(0, 1), trials), max_size=12)


@settings(max_examples=60, deadline=None)
@given(rewards, rewards)
def test_the_interval_holds_the_difference_and_the_other_way_round_is_its_mirror(first, second):
    one, other = side("a", first), side("b", second)
    there, back = compare(one, other).whole, compare(other, one).whole
    assert (there is None) == (back is None)
    if there is not None:
        low, high = there.interval
        assert -1 <= low <= there.difference + 1e-12
        assert there.difference - 1e-12 <= high <= 1
        assert back.difference == pytest.approx(-there.difference)
        assert back.interval == pytest.approx((-high, -low))
        assert (back.lost, back.gained, back.pairs) == (there.gained, there.lost, there.pairs)
