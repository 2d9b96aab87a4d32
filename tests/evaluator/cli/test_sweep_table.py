"""The table of a sweep: what stands in it, how wide it is, and the same as CSV."""

import csv
import io

from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_evaluator.cli.sweep_table import Row, render_csv, render_sweep

COMPLETE = {"type": "Complete", "status": "True", "reason": "RunComplete", "lastTransitionTime": "2026-01-01T11:00:00Z"}
AXES = ["domain", "strategy", "model"]
DONE = EvalRunStatus.model_validate(
    {
        "conditions": [COMPLETE],
        "done": "575/575",
        "score": "0.412",
        "interval": "0.37–0.45",
        "scoreScheduled": "0.402",
        "reason": "RunComplete",
        "units": {"total": 575, "done": 575, "passed": 237, "infraErrors": 3},
        "passHatK": {str(k): f"0.{50 - k}0" for k in range(1, 6)},
    }
)
HELD = EvalRunStatus.model_validate({"reason": "PoolNotReady", "units": {"total": 575}})


def rows(*stati, trials=5):
    return [
        Row(f"r-{i}", {"domain": "retail", "strategy": "tool-calling", "model": f"qwen3-{i}b"}, trials, status)
        for i, status in enumerate(stati)
    ]


def test_a_table_with_pass_k_is_split_where_it_would_be_wider_than_100_columns():
    lines = render_sweep(AXES, rows(DONE, HELD))
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["DOMAIN", "STRATEGY", "MODEL", "DONE", "SCORE", "95", "%", "INTERVAL", "OVER", "ALL",
                                "ERRORS", "REASON"]  # fmt: skip
    assert lines[1].split() == ["retail", "tool-calling", "qwen3-0b", "575/575", "0.412", "0.37–0.45", "0.402", "3"]
    assert lines[2].split()[3:] == ["0", "PoolNotReady"]
    assert lines[3:5] == ["", "DOMAIN  STRATEGY      MODEL     PASS^1  PASS^2  PASS^3  PASS^4  PASS^5"]
    assert lines[5].split()[3:] == ["0.490", "0.480", "0.470", "0.460", "0.450"]


def test_a_narrow_one_is_whole_and_one_trial_of_any_run_leaves_pass_k_out():
    two = [Row(r.name, {"domain": "a"}, 2, r.status) for r in rows(DONE)]
    assert render_sweep(["domain"], two)[0].split()[-3:] == ["ERRORS", "PASS^1", "PASS^2"]
    assert "PASS" not in "".join(render_sweep(AXES, [*rows(DONE), *rows(DONE, trials=1)]))


def test_what_has_not_begun_says_so():
    assert render_sweep(AXES, rows(EvalRunStatus()))[1].split() == [
        "retail",
        "tool-calling",
        "qwen3-0b",
        "not",
        "begun",
    ]


def test_the_csv_has_a_column_for_each_figure():
    (row,) = csv.DictReader(io.StringIO(render_csv(AXES, rows(DONE))))
    wanted = {"run": "r-0", "model": "qwen3-0b", "done": "575", "passed": "237", "score": "0.412", "pass^5": "0.450"}
    assert wanted.items() <= row.items()
    assert (row["scoreScheduled"], row["infraErrors"]) == ("0.402", "3")


def test_numbers_that_are_not_to_be_believed_say_so():
    suspect = {**COMPLETE, "type": "ResultsSuspect", "reason": "NoToolCalls"}
    status = EvalRunStatus.model_validate({"conditions": [COMPLETE, suspect], "done": "2/2", "score": "0.000"})
    assert render_sweep(AXES, rows(status))[1].split()[-1] == "ResultsSuspect"
