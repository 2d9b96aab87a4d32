"""What results add up to."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.evalrun_status import Usage
from toolorch_api.shard import Manifest, Result, Unit, UnitStatus
from toolorch_evaluator.latency import LatencySums
from toolorch_evaluator.summary import Ends, Row, summarise

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


def sum_up(outcomes):
    """Sum up a run given as {(domain, task, trial): status or None}."""
    units = [Unit("control", *key) for key in outcomes]
    manifest = Manifest(
        spec_hash="h", dataset_hash="d", units=[(u.variant, u.domain, u.task_id, u.trial) for u in units]
    )
    ends = {u: make_result(u, s) for u, s in zip(units, outcomes.values(), strict=True) if s}
    finals = {u: r for u, r in ends.items() if r.status != "infra_error"}
    return summarise(manifest, Ends(finals, {u: r for u, r in ends.items() if u not in finals}))


def test_the_score_is_over_scored_units_and_also_over_all():
    head = sum_up(
        {("retail", str(n), 0): s for n, s in enumerate(["passed"] * 3 + ["failed"] + ["infra_error", None])}
    ).head
    assert (head.total, head.scored, head.passed, head.failed, head.infra_errors) == (6, 4, 3, 1, 1)
    assert (head.score, head.score_scheduled) == ("0.750", "0.500")
    assert head.interval == "0.30–0.95"  # Wilson, 3 of 4
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


def test_groups_follow_the_manifest_and_causes_are_counted():
    outcomes = {("telecom", "a", 0): "passed", ("airline", "a", 0): "failed", ("telecom", "b", 0): None}
    numbers = sum_up(outcomes)
    assert [(g.name, g.total, g.scored, g.score) for g in numbers.groups] == [
        ("telecom", 2, 1, 1.0),
        ("airline", 1, 1, 0.0),
    ]


def test_latency_is_of_answered_calls_and_counts_the_others():
    event = {"role": "agent", "pool": "p", "cause": "", "ms": 100, "tries": 1, "completion_tokens": 10}
    events = [event | {"ms": ms} for ms in (100, 200, 300)] + [event | {"cause": "model_timeout", "ms": 9000}]
    sums = LatencySums()
    for call in [*events[:2], events[2] | {"tries": 3}, events[3]]:
        sums.add(call)
    (row,) = sums.rows()
    assert (row.calls, row.failed, row.retried, row.p50_ms, row.max_ms) == (3, 1, 1, 200, 300)
    assert row.tokens_per_second == pytest.approx(50)
