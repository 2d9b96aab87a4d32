"""Tables as `kubectl get -o wide` prints them, and lines for those who have no terminal."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from toolorch_api.conditions import Condition
from toolorch_api.evalrun import EvalRun
from toolorch_evaluator.cli.display import describe, open_display, render_end, render_score
from toolorch_evaluator.cli.score_lines import describe_score
from toolorch_evaluator.cli.table import age

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
STATUS = {
    "done": "8/10",
    "reason": "RunComplete",
    "units": {"total": 10, "done": 8, "passed": 4, "infraErrors": 2},
    "score": "0.500",
    "scoreScheduled": "0.400",
    "interval": "0.22–0.78",
    "intervalScheduled": "0.17–0.69",
    "attempt": 1,
    "tokens": 1234,
    "results": "file:///tmp/runs/run-1",
    "report": "file:///tmp/runs/run-1/report/report.html",
}


@pytest.fixture
def run(documents):
    document = documents.evalrun(shards=2)
    document["metadata"]["creationTimestamp"] = "2026-01-01T11:59:18Z"
    return EvalRun.model_validate({**document, "status": STATUS})


def test_the_table_is_kubectls(run):
    pool = {"metadata": {"name": "agent"}, "spec": {"model": "org/m"}, "status": {"ready": "1/1", "effective": {}}}
    lines = render_end(run.model_dump(mode="json", by_alias=True), [pool], NOW).splitlines()
    assert lines == [
        "NAME    MODEL   READY   UTIL   REASON   AGE   GPUS   NODE(S)   ENDPOINTS",
        "agent   org/m   1/1",
        "",
        "NAME   BENCHMARK   DONE   SCORE   ERRORS   REASON        ETA   AGE   SHARDS   ATTEMPT   TOKENS   RESULTS",
        "run    tau2        8/10   0.500   2        RunComplete         42s   2        1         1234     "
        "file:///tmp/runs/run-1",
    ]


def test_the_score_is_told_with_n_and_both_ways(run):
    assert render_score(run) == [
        "score 0.500 over 8 scored units, 95 % interval 0.22–0.78",
        "score 0.400 over all 10 units, an unscored one counting 0, 95 % interval 0.17–0.69",
        "report: /tmp/runs/run-1/report/report.html",
        "results: /tmp/runs/run-1",
    ]


def test_pass_hat_k_and_what_makes_a_score_doubtful_stand_below_it(run):
    at = {"lastTransitionTime": "2026-01-01T12:00:00Z", "reason": "ResultsLookBroken"}
    suspect = Condition(type="ResultsSuspect", status="True", message="the agent called no tool", **at)
    powers = {"pass_hat_k": {"1": "0.500", "2": "0.250"}, "pass_hat_k_tasks": {"2": "3 of 4"}}
    told = {**powers, "conditions": [suspect]}
    lines = describe_score(run.status.model_copy(update=told))
    assert lines[2:] == ["pass^1 0.500, pass^2 0.250 over 3 of 4 tasks", "suspect: the agent called no tool"]
    plausible = suspect.model_copy(update={"status": "False"})
    assert len(describe_score(run.status.model_copy(update={"conditions": [plausible]}))) == 2


@pytest.mark.parametrize(
    ("elapsed", "text"),
    [
        ({"seconds": 7}, "7s"),
        ({"seconds": 119}, "119s"),
        ({"minutes": 2}, "2m"),
        ({"minutes": 3, "seconds": 20}, "3m20s"),
        ({"minutes": 12, "seconds": 9}, "12m"),
        ({"hours": 5, "minutes": 2}, "5h2m"),
        ({"hours": 30}, "30h"),
        ({"days": 3}, "3d"),
        ({"days": 400}, "400d"),
    ],
)
def test_ages_are_written_as_kubectl_does(elapsed, text):
    assert age(timedelta(**elapsed)) == text


def test_without_a_terminal_there_are_lines_and_a_thing_is_told_once(run):
    stream = StringIO()
    display = open_display(Console(file=stream))
    display.say("agent: 1/1 ready [not markup]")
    display.show(run)
    display.show(run)
    display.close()
    assert stream.getvalue().splitlines() == ["agent: 1/1 ready [not markup]", f"run: {describe(run)}"]


def test_a_terminal_gets_a_bar_with_an_eta(run):
    stream = StringIO()
    display = open_display(Console(file=stream, force_terminal=True, width=120))
    display.show(run)
    display.close()
    assert "8/10 done, 4 passed, 2 errors" in stream.getvalue()
    assert "ETA" in stream.getvalue()
