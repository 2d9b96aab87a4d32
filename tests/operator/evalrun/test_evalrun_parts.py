"""The parts of EvalRun's brain: manifests, facts that are read, splits, paces, scores."""

import json
from datetime import timedelta

import pytest

from toolorch_api.run_input import Price
from toolorch_api.shard import Progress, RunInput
from toolorch_operator.evalrun.attempts import split_units
from toolorch_operator.evalrun.names import attempt_job
from toolorch_operator.evalrun.objects import (
    build_attempt_job,
    build_input,
    build_plan_job,
    build_report_job,
    build_suspension,
)
from toolorch_operator.evalrun.observed import ObservedRun, parse_job, parse_pod, parse_pool
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.progress import expected_seconds, format_eta
from toolorch_operator.evalrun.score import format_interval, format_score
from toolorch_operator.evalrun.wants import StorageWants, wanted_facts

KEY = {"baseURL": "https://api/v1", "apiKeySecretRef": {"name": "openai", "key": "apiKey"}}


@pytest.fixture
def pools(kit):
    views = (parse_pool(kit.pool("orchestrator")), parse_pool(kit.pool("user-sim", external=KEY)))
    return {view.name: view for view in views}


def test_manifests_are_as_they_were_read_in_the_golden_files(kit, pools, golden):
    run = kit.run()
    golden("input.json", build_input(run, ObservedRun(pools=pools), "s3://runs/all/smoke-01234567", "0123456789abcdef"))
    golden("plan-job.json", build_plan_job(run, kit.defaults))
    golden("attempt-job.json", build_attempt_job(run, kit.defaults, 2, 3, pools))
    golden("report-job.json", build_report_job(run, kit.defaults, 2))
    golden("suspension.json", build_suspension(run, attempt_job(run, 2), suspend=True))


def test_a_pod_reads_from_run_json_what_the_operator_wrote(kit, pools):
    run = kit.run(userVariants=["control", {"name": "hasty", "instructions": "be brief"}])
    text = build_input(run, ObservedRun(pools=pools), "s3://x", "h")["data"]["run.json"]
    told = RunInput.model_validate_json(text)
    assert told.spec == run.spec
    assert told.pools["user-sim"].external
    assert "apiKey" not in text


def test_what_is_at_its_default_is_not_told_to_pods_which_may_be_older_than_the_operator(kit, pools):
    run = kit.run(shards=3, trials=1, retry={"infra": 3})
    text = build_input(run, ObservedRun(pools=pools), "s3://x", "h")["data"]["run.json"]
    assert json.loads(text)["spec"].keys() == {"benchmark", "roles", "shards"}
    assert RunInput.model_validate_json(text).spec == run.spec


def test_tokens_of_a_pool_cost_what_its_name_says_else_its_models(kit, pools):
    cheap, dear = Price(input="0.25", output="2.00"), Price(input="3", output="15")
    prices = {"m/user-sim": cheap, "m/orchestrator": cheap, "orchestrator": dear, "another": dear}
    text = build_input(kit.run(), ObservedRun(pools=pools), "s3://x", "h", prices)["data"]["run.json"]
    assert RunInput.model_validate_json(text).prices == {"orchestrator": dear, "user-sim": cheap}


@pytest.mark.parametrize(
    ("spec", "root", "secret"),
    [
        pytest.param({}, "s3://runs/all/smoke-01234567", "s3-keys", id="the chart's place and secret"),
        pytest.param(
            {"output": {"uri": "s3://own/"}}, "s3://own/smoke-01234567", "", id="another place never sees that secret",
        ),
        pytest.param(
            {"output": {"uri": "gs://own", "secretRef": {"name": "mine"}}}, "gs://own/smoke-01234567", "mine",
            id="it brings its own",
        ),
    ],
)  # fmt: skip
def test_results_go_where_the_run_or_the_chart_says(kit, spec, root, secret):
    output = resolve_output(kit.run(**spec), kit.defaults)
    assert (output.root, output.secret) == (root, secret)


@pytest.mark.parametrize(
    ("missing", "shards", "split"),
    [
        pytest.param([0, 1, 2, 3, 4], 2, [[0, 2, 4], [1, 3]], id="units are dealt out one by one"),
        pytest.param([5, 9], 4, [[5], [9]], id="no shard is left without a unit"),
        pytest.param([7], 1, [[7]], id="one unit is one shard"),
    ],
)
def test_missing_units_are_split_evenly(missing, shards, split):
    assert split_units(missing, shards) == split


def progress(kit, shard, ended, total, seconds=100, **more):
    since = kit.now - timedelta(seconds=seconds)
    step = timedelta(seconds=seconds / max(1, ended))
    ends = [since + step * (i + 1) for i in range(ended)][-32:]
    return Progress(
        spec_hash="h", attempt=1, shard=shard, pod="p", total=total, passed=ended, recent_ends=ends,
        started_at=since, updated_at=kit.now, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shards", "seconds"),
    [
        pytest.param([(0, 0, 10)], None, id="no unit has ended: nobody knows"),
        pytest.param([(0, 10, 20)], 100, id="half is done in 100 s, the rest takes as long"),
        pytest.param([(0, 10, 20), (1, 5, 20)], 167, id="what one has not begun others take: the pace of all decides"),
        pytest.param([(0, 10, 20), (1, 0, 20)], 150, id="a shard without an end goes by the others"),
        pytest.param([(0, 10, 10)], 0, id="nothing is left"),
        pytest.param([(0, 100, 200)], 97, id="of many ends the last 32 tell the pace"),
    ],
)
def test_the_expected_end_follows_the_pace_of_the_last_units(kit, shards, seconds):
    found = expected_seconds([progress(kit, *s) for s in shards], 1, kit.now)
    assert (None if found is None else round(found)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "<1m"), (59, "<1m"), (61, "1m"), (3599, "59m"), (12000, "3h20m"), (187_200, "2d4h")],
)
def test_an_eta_is_short(seconds, text):
    assert format_eta(seconds) == text


@pytest.mark.parametrize(
    ("passed", "n", "score", "interval"),
    [
        # Newcombe 1998, table I, method 3 (Wilson without continuity correction), rounded here to two decimals.
        (81, 263, "0.308", "0.26–0.37"),
        (15, 148, "0.101", "0.06–0.16"),
        (0, 20, "0.000", "0.00–0.16"),
        (1, 29, "0.034", "0.01–0.17"),
        (30, 30, "1.000", "0.89–1.00"),
        (0, 0, "", ""),
    ],
)
def test_scores_come_with_wilsons_interval(passed, n, score, interval):
    assert (format_score(passed, n), format_interval(passed, n)) == (score, interval)


def test_the_interval_is_the_one_that_the_report_computes():
    from toolorch_api.figures import span
    from toolorch_evaluator.summary import Row

    for passed in range(31):
        assert format_interval(passed, 30) == span(Row("all", 30, 30, passed, 0, 0, passed).interval)


def job(name, attempt=0, **status):
    labels = {"toolorch.dev/attempt": str(attempt)} if attempt else {}
    return parse_job({"metadata": {"name": name, "labels": labels}, "spec": {"completions": 3}, "status": status})


COMPLETE = [{"type": "Complete", "status": "True"}]
WANTS = {
    "a new run asks for the manifest alone": ({}, [], StorageWants(manifest=True)),
    "before the first attempt what may be there already is listed": (
        {}, [job("smoke-plan", conditions=COMPLETE)], StorageWants(True, 1, True, True, True, True),
    ),
    "a running attempt costs its progress": (
        {"attempt": 1, "units": {"total": 10}}, [job("smoke-a1", 1)], StorageWants(progress=True),
    ),
    "an attempt that ended is audited": (
        {"attempt": 1, "units": {"total": 10}}, [job("smoke-a1", 1, conditions=COMPLETE)],
        StorageWants(True, None, True, True, True, True),
    ),
    "an attempt that counts all units is audited": (
        {"attempt": 1, "units": {"total": 10, "done": 10}}, [job("smoke-a1", 1)],
        StorageWants(True, None, True, True, True, True),
    ),
    "an attempt without its Job is audited, and its assignment read": (
        {"attempt": 2, "units": {"total": 10}}, [job("smoke-a1", 1)], StorageWants(True, 2, True, True, True, True),
    ),
    "a run that writes its report costs one read": (
        {"attempt": 1}, [job("smoke-a1", 1), job("smoke-report")], StorageWants(summary=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WANTS, ids=str)
def test_storage_is_asked_for_no_more_than_the_next_decision_needs(kit, name):
    status, jobs, wants = WANTS[name]
    run = kit.run()
    run = run.model_copy(update={"status": type(run.status).model_validate(status)})
    assert wanted_facts(run, ObservedRun(jobs={j.name: j for j in jobs})) == wants


def test_storage_is_left_alone_without_its_secret_and_after_the_end(kit):
    assert wanted_facts(kit.run(), ObservedRun(secret_exists=False)).nothing
    world = kit.World()
    world.settle()
    assert wanted_facts(world.run, world.observe()).nothing


def test_a_pool_that_is_ready_for_an_older_spec_is_not_ready(kit):
    raw = kit.pool("user-sim")
    raw["metadata"]["generation"] = 2
    raw["status"]["conditions"][0]["observedGeneration"] = 1
    assert not parse_pool(raw).ready


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ('{"reason": "NoTasks", "message": "no task is left"}', "no task is left"),
        ("Traceback (most recent call last):\n  ...\nOSError: disk full\n", "OSError: disk full"),
        ('["odd"]', '["odd"]'),
        (None, ""),
    ],
)
def test_the_last_word_of_a_pod_is_one_sentence(message, word):
    ended = {"exitCode": 1, "message": message}
    raw = {"metadata": {"name": "p"}, "status": {"containerStatuses": [{"state": {"terminated": ended}}]}}
    assert parse_pod(raw).message == word
