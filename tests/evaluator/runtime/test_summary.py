"""What results add up to."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.deaths import Death
from toolorch_api.evalrun_status import Usage
from toolorch_api.shard import Manifest, Result, Unit, UnitStatus
from toolorch_evaluator.breakdown import Row
from toolorch_evaluator.set_aside import SetAside, list_set_aside
from toolorch_evaluator.summary import Ends, say_refused, summarise

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def make_result(unit, status="passed", tokens=100, tool_calls=2, calls=5, **more):
    reward = {"passed": 1.0, "failed": 0.0, "infra_error": None}[status]
    usage = Usage(prompt_tokens=1000, completion_tokens=tokens, calls=calls)
    return Result(
        **asdict(unit),
        status=UnitStatus(status),
        reward=reward,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=9),
        usage=usage,
        tool_calls=tool_calls,
        spec_hash="h",
        attempt=1,
        shard=0,
        pod="p",
        **more,
    )


def split_ends(outcomes):
    """Return manifest, final results and infra errors of a run given as {(domain, task, trial): status or None}."""
    units = [Unit("control", *key) for key in outcomes]
    manifest = Manifest(
        spec_hash="h", dataset_hash="d", units=[(u.variant, u.domain, u.task_id, u.trial) for u in units]
    )
    ends = {u: make_result(u, s) for u, s in zip(units, outcomes.values(), strict=True) if s}
    finals = {u: r for u, r in ends.items() if r.status != "infra_error"}
    return manifest, finals, {u: r for u, r in ends.items() if u not in finals}


def sum_up(outcomes):
    """Sum up a run given as {(domain, task, trial): status or None}."""
    manifest, finals, errors = split_ends(outcomes)
    return summarise(manifest, Ends(finals, errors))


def test_the_score_is_over_scored_units_and_also_over_all():
    head = sum_up(
        {("retail", str(n), 0): s for n, s in enumerate(["passed"] * 3 + ["failed"] + ["infra_error", None])}
    ).head
    assert (head.total, head.scored, head.passed, head.failed, head.infra_errors) == (6, 4, 3, 1, 1)
    assert (head.score, head.score_scheduled) == ("0.750", "0.500")
    assert (head.interval, head.interval_scheduled) == ("0.30–0.95", "0.19–0.81")  # Wilson, 3 of 4 and 3 of 6
    assert head.usage.calls == 25


@pytest.mark.parametrize(
    ("passed", "scored", "low", "high"),
    # As scipy.stats.binomtest(...).proportion_ci(0.95, "wilson") gives them.
    [
        (0, 1, 0.0, 0.7934506856),
        (1, 1, 0.2065493144, 1.0),
        (0, 30, 0.0, 0.1135133932),
        (30, 30, 0.8864866068, 1.0),
        (3, 4, 0.3006418426, 0.9544127392),
        (124, 278, 0.3887413256, 0.5048158532),
        (277, 278, 0.9799092177, 0.9993647371),
    ],
)
def test_the_interval_is_wilsons(passed, scored, low, high):
    row = Row("all", scored, scored, passed, 0, 0, float(passed))
    assert row.interval == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))


def test_nothing_scored_has_no_score_and_no_interval():
    head = sum_up({("retail", "0", 0): "infra_error", ("retail", "1", 0): None}).head
    assert (head.score, head.score_scheduled, head.interval, head.pass_hat_k) == ("", "0.000", "", {})


def test_all_passed_is_one_with_an_interval_below():
    head = sum_up({("retail", str(n), 0): "passed" for n in range(30)}).head
    assert (head.score, head.interval, head.pass_hat_k) == ("1.000", "0.89–1.00", {"1": "1.000"})


def test_pass_hat_k_takes_tasks_with_k_scored_trials_and_also_all():
    outcomes = {("retail", "a", t): s for t, s in enumerate(["passed", "passed", "failed"])}
    outcomes |= {("retail", "b", t): s for t, s in enumerate(["passed", "passed", "infra_error"])}
    numbers = sum_up(outcomes)
    one, two, three = numbers.pass_hat_k
    assert one.scored == pytest.approx((2 / 3 + 1) / 2)
    assert (two.scored, two.tasks) == (pytest.approx((1 / 3 + 1) / 2), 2)
    assert (three.scored, three.tasks) == (0.0, 1)
    assert two.scheduled == pytest.approx(1 / 3)


def outcomes_of(*tasks):
    """Outcomes of tasks, each told as a word: p passed, f failed, i infra error, . nothing."""
    ends = {"p": "passed", "f": "failed", "i": "infra_error", ".": None}
    return {("retail", str(n), t): ends[letter] for n, task in enumerate(tasks) for t, letter in enumerate(task)}


@pytest.mark.parametrize(
    ("tasks", "k", "scored", "coverage", "scheduled"),
    [
        # C(2,2)/C(4,2) = 1/6 for the first, C(3,2)/C(3,2) = 1 for the second; the third has one scored trial.
        pytest.param(
            ("ppff", "ppp.", "p..."), 2, 7 / 12, "2 of 3", (1 / 6 + 1 / 2 + 0) / 3, id="two of four, three of three"
        ),
        # C(3,3)/C(4,3) = 1/4; a task with two scored trials tells nothing of three.
        pytest.param(("pppf", "pp.i"), 3, 1 / 4, "1 of 2", 1 / 8, id="too few trials are no zero"),
        pytest.param(("pi", "fi"), 2, None, "0 of 2", 0.0, id="no task has enough"),
        pytest.param(("pp", "p"), 2, 1.0, "1 of 1", 1.0, id="a task without a second trial is not meant"),
        pytest.param(("pf", "ff"), 1, 1 / 4, "2 of 2", 1 / 4, id="one trial is the mean"),
    ],
)
def test_pass_hat_k_by_hand(tasks, k, scored, coverage, scheduled):
    numbers = sum_up(outcomes_of(*tasks))
    power = numbers.pass_hat_k[k - 1]
    assert (power.scored, power.scheduled) == (pytest.approx(scored), pytest.approx(scheduled))
    trials = "1 scored trial" if k == 1 else f"{k} scored trials"
    assert power.coverage == f"pass^{k} over {coverage} tasks with at least {trials}"
    assert numbers.head.pass_hat_k_tasks.get(str(k)) == (None if scored is None else coverage)
    assert (str(k) in numbers.head.pass_hat_k) is (scored is not None), "no number stands for no task"


def aside(number):
    return SetAside(Unit("control", "retail", str(number), 0), 2, 1, "pod: OOMKilled 3 times")


def test_quarantined_units_are_neither_scored_nor_infra_errors():
    units, finals, errors = split_ends(
        {("retail", str(n), 0): s for n, s in enumerate(["passed", "infra_error", None])}
    )
    head = summarise(units, Ends(finals, errors, set_aside=[aside(1), aside(2)])).head
    assert (head.scored, head.infra_errors, head.quarantined, head.score_scheduled) == (1, 0, 2, "0.333")
    late = summarise(units, Ends(finals, errors, set_aside=[aside(0)])).head
    assert (late.scored, late.infra_errors, late.quarantined) == (1, 1, 0), "what ended all the same is scored"


def test_who_was_set_aside_is_told_with_how_often_and_of_what():
    units, _, _ = split_ends({("retail", str(n), 0): None for n in range(4)})

    def death(*indexes, **more):
        return Death(
            **{"spec_hash": "h", "attempt": 1, "what": "pod", "units": list(indexes), "why": "OOMKilled", **more}
        )

    deaths = [
        death(0, 1, 2),
        death(0),
        death(1, what="server", count=2, why=""),
        death(2),
        death(3, count=3, spec_hash="another"),
        death(99, count=3),
    ]
    (one,) = list_set_aside(units, deaths, 3)
    assert (one.unit.task_id, one.alone, one.together, one.deaths) == ("1", 2, 1, 3)
    assert one.why == "server: no reason given 2 times, pod: OOMKilled"
    assert [one.unit.task_id for one in list_set_aside(units, deaths, 2)] == ["0", "1", "2"]


def test_what_shards_have_spent_counts_and_not_only_what_results_hold():
    units, finals, errors = split_ends({("retail", "0", 0): "passed"})
    assert summarise(units, Ends(finals, errors)).head.usage.calls == 5
    assert summarise(units, Ends(finals, errors, spent=Usage(calls=9))).head.usage.calls == 9


@pytest.mark.parametrize(
    ("refused", "sentence"),
    [
        ({}, ""),
        ({"a": "unreadable"}, "1 result object refused: 1 unreadable (a)"),
        (
            {"d": "of another unit", "c": "unreadable", "b": "unreadable", "a": "unreadable"},
            "4 result objects refused: 3 unreadable, 1 of another unit (a, b, c, …)",
        ),
    ],
)
def test_refused_results_are_counted_and_named(refused, sentence):
    assert say_refused(refused) == sentence


def test_groups_follow_the_manifest_and_causes_are_counted():
    outcomes = {("telecom", "a", 0): "passed", ("airline", "a", 0): "failed", ("telecom", "b", 0): None}
    numbers = sum_up(outcomes)
    assert [(g.name, g.total, g.scored, g.score) for g in numbers.groups] == [
        ("telecom", 2, 1, 1.0),
        ("airline", 1, 1, 0.0),
    ]
