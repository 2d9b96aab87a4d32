"""External servers that want a key: the Job that asks, when it asks again, what it leaves, and where no key is."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator import exam, models
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.external.external import build_probe_job, plan_external
from toolorch_operator.modelpool.external.report import (
    dump_probe,
    dump_question,
    hide_key,
    parse_probe,
    parse_question,
    parse_time,
)
from toolorch_operator.modelpool.jobs import parse_job
from toolorch_operator.modelpool.observed import JobView, ObservedPool, Probe, ServedModel, Verdict
from toolorch_operator.modelpool.targets import build_exam

DEFAULTS = Defaults("vllm:test", "evaluator:test", operator_image="operator:test")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
CANARY = "sk-canary-0123456789abcdef"
GOOD = Probe(True, (ServedModel("gpt"),), preflight=Verdict(True, PoolReason.CALLS_TOOLS, "it calls tools"))
REFUSED = Probe(True, preflight=Verdict(False, PoolReason.API_KEY_REFUSED, "the server answered 401"))


def make_pool(*, secret="openai", url="https://api.test/v1", **spec):
    key = {"apiKeySecretRef": {"name": secret, "key": "apiKey"}} if secret else {}
    spec = {"engine": "external", "model": "gpt", "external": {"baseURL": url, **key}, **spec}
    return ModelPool.model_validate({"metadata": {"name": "judge", "namespace": "evals", "uid": "u"}, "spec": spec})


def view(job, condition="", *, message="", state=None):
    """A Job as observed: over with a last word, or not, with its pod's container in a state."""
    name = job["metadata"]["name"]
    labels = {**job["spec"]["template"]["metadata"]["labels"], "batch.kubernetes.io/job-name": name}
    state = state or ({"terminated": {"message": message}} if condition else {"running": {}})
    pod = {
        "metadata": {"name": f"{name}-x", "labels": labels},
        "status": {"containerStatuses": [{"name": "probe", "state": state}]},
    }
    status = {"conditions": [{"type": condition, "status": "True"}]} if condition else {}
    return parse_job({**job, "status": status}, [pod])


def answered(job, probe, at=NOON):
    return view(job, "Complete", message=dump_probe(probe, "gpt", "", at))


def plan(*jobs, pool=None, after=0):
    return plan_external(pool or make_pool(), ObservedPool(jobs=jobs), DEFAULTS, NOON + timedelta(seconds=after))


def job_of(number=1, pool=None):
    return build_probe_job(pool or make_pool(), DEFAULTS, number)


def names(refs):
    return [r.name for r in refs]


def test_a_key_is_read_by_the_asking_pod_and_by_nobody_else():
    (job,) = plan().create
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    question, key = container["env"]
    assert key["valueFrom"] == {"secretKeyRef": {"name": "openai", "key": "apiKey"}}
    assert parse_question(question["value"]) == ("https://api.test/v1", build_exam(make_pool()))
    assert container["image"] == "operator:test"
    assert container["command"] == ["python", "-m", "toolorch_operator.exam"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert len(job["metadata"]["name"]) <= 63


@pytest.mark.parametrize(
    ("pool", "tools"),
    [
        pytest.param(make_pool(), False, id="nothing is said"),
        pytest.param(make_pool(preflight={"toolCalling": "Required"}), True, id="tools are required"),
    ],
)
def test_tools_are_examined_where(pool, tools):
    question = build_probe_job(pool, DEFAULTS, 1)["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"]
    assert parse_question(question)[1].calls_tools is tools


def test_an_exam_survives_the_way_to_the_pod():
    asked = build_exam(make_pool(chatTemplateKwargs={"thinking": {"budget": 0}}))
    assert parse_question(dump_question("http://x/v1", asked)) == ("http://x/v1", asked)


def test_a_pool_is_asked_once_and_is_not_ready_before_it_answers():
    first = plan()
    assert (first.probe, first.reason) == (None, PoolReason.PREFLIGHT_RUNNING)
    (job,) = first.create
    waiting = plan(view(job))
    assert (waiting.probe, waiting.create, waiting.delete) == (None, (), ())
    assert waiting.holdup == "judge is asked by the Job " + job["metadata"]["name"]
    done = plan(answered(job, GOOD), after=10**6)
    assert (done.probe, done.holdup, done.create, done.delete, done.requeue_after) == (GOOD, "", (), (), None)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"url": "https://other.test/v1"}, id="address"),
        pytest.param({"secret": "another"}, id="secret"),
        pytest.param({"servedModelName": "gpt-large"}, id="model"),
        pytest.param({"preflight": {"toolCalling": "Required"}}, id="exam"),
        pytest.param({"chatTemplateKwargs": {"thinking": False}}, id="template arguments"),
    ],
)
def test_an_answer_counts_no_more_after_a_change_of(spec):
    old = answered(job_of(), GOOD)
    result = plan(old, pool=make_pool(**spec))
    assert names(result.delete) == [old.name]
    assert result.probe is None
    assert result.create[0]["metadata"]["name"] != old.name


def test_a_pool_without_a_key_needs_no_job():
    old = answered(job_of(), GOOD)
    result = plan(old, pool=make_pool(secret=None))
    assert (result.create, names(result.delete), result.holdup) == ((), [old.name], "")


@pytest.mark.parametrize(("number", "wait"), [(1, 60), (2, 120), (9, 540), (10, 600), (300, 600)])
def test_a_bad_answer_is_asked_again_later_and_later(number, wait):
    old = answered(job_of(number), REFUSED)
    early = plan(old, after=wait - 1)
    assert (early.create, early.reason) == ((), PoolReason.API_KEY_REFUSED)
    due = NOON + timedelta(seconds=wait)
    assert early.holdup == f"judge: the server answered 401; it is asked again at {due:%H:%M:%S} UTC (try {number + 1})"
    assert early.requeue_after == timedelta(seconds=1)
    (again,) = plan(old, after=wait).create
    assert again["metadata"]["name"] == job_of(number + 1)["metadata"]["name"]


def test_the_last_answer_speaks_until_there_is_a_newer_one():
    old, new = job_of(1), job_of(2)
    meanwhile = plan(answered(old, REFUSED), view(new), after=61)
    assert (meanwhile.probe, meanwhile.reason, meanwhile.delete) == (REFUSED, PoolReason.API_KEY_REFUSED, ())
    then = plan(answered(old, REFUSED), answered(new, GOOD), after=70)
    assert (then.probe, names(then.delete)) == (GOOD, [old["metadata"]["name"]])


@pytest.mark.parametrize("condition", ["Complete", "Failed"])
def test_a_job_that_left_no_answer_is_followed_by_another(condition):
    old = view(job_of(4), condition, message="")
    result = plan(old)
    assert result.create[0]["metadata"]["name"].endswith("-5")
    assert result.probe is None


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        pytest.param(
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "openai" not found'}},
            PoolReason.API_KEY_NOT_FOUND,
            'needs the key apiKey of the Secret openai: CreateContainerConfigError: secret "openai" not found',
            id="its Secret does not exist",
        ),
        pytest.param(
            {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            PoolReason.POD_CANNOT_START,
            "ImagePullBackOff: no such image",
            id="its image does not exist",
        ),
    ],
)
def test_what_keeps_a_pod_from_asking_is_said_because(state, reason, words):
    result = plan(view(job_of(), state=state))
    assert (result.reason, result.create) == (reason, ())
    assert words in result.holdup
    assert result.requeue_after is not None


@pytest.mark.parametrize(
    ("probe", "reason", "words"),
    [
        (
            Probe(False, error="ConnectError"),
            PoolReason.MODEL_SERVER_UNREACHABLE,
            "judge does not answer: ConnectError",
        ),
        (Probe(True, (ServedModel("o"),)), PoolReason.SERVED_NAME_MISMATCH, "judge serves o, not gpt"),
    ],
)
def test_why_a_server_does_not_count_as_ready(probe, reason, words):
    result = plan(answered(job_of(), probe))
    assert result.reason is reason
    assert words in result.holdup


def test_an_answer_survives_the_way_back():
    job = answered(job_of(), GOOD)
    assert parse_probe(job) == GOOD
    assert parse_time(job) == NOON


@pytest.mark.parametrize(
    "message", ["", "[]", "{}", "no JSON", '{"healthy": true, "models": [1], "version": "", "error": ""}', "null"]
)
def test_what_is_no_answer_is_none(message):
    assert parse_probe(JobView("j", message=message)) is None
    assert parse_time(JobView("j", message=message)) is None


def test_a_long_list_of_models_is_cut_and_keeps_the_one_that_is_asked_for():
    many = tuple(ServedModel(f"model-{i:04}", 4096) for i in range(2000))
    text = dump_probe(Probe(True, many, error="x" * 9000), "model-1999", "", NOON)
    assert len(text.encode()) <= 4096
    assert parse_probe(JobView("j", message=text)).models[0].id == "model-1999"


def test_long_words_in_any_script_are_cut():
    said = "\N{GRINNING FACE}" * 9000
    verdict = Verdict(False, PoolReason.COMPLETION_FAILED, said)
    text = dump_probe(Probe(True, (ServedModel(said),), said, said, verdict), "gpt", "", NOON)
    assert len(text.encode()) <= 4096
    assert parse_probe(JobView("j", message=text)).preflight.reason is PoolReason.COMPLETION_FAILED


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        pytest.param(f"bad key {CANARY}!", "bad key ***!", id="whole"),
        pytest.param(f"bad key {CANARY[:15]}...", "bad key ***...", id="its beginning"),
        pytest.param(f"{CANARY}{CANARY} and {CANARY[-9:]}", "*** and ***", id="several times"),
        pytest.param("sk-can is short", "sk-can is short", id="too little to matter"),
    ],
)
def test_a_key_is_blanked_where_a_text_holds(text, hidden):
    assert hide_key(text, CANARY) == hidden


def test_a_key_that_is_none_may_stand_in_a_models_name():
    text = dump_probe(Probe(True, (ServedModel("mock/x"),), error="mock"), "mock/x", "mock", NOON)
    assert parse_probe(JobView("j", message=text)) == Probe(True, (ServedModel("mock/x"),), error="***")


def asked(examine, key=CANARY, **spec):
    environ = {"TOOLORCH_QUESTION": dump_question("https://api.test/v1", build_exam(make_pool(**spec)))}
    return asyncio.run(exam.ask({**environ, "TOOLORCH_API_KEY": key}, examine, lambda: NOON))


def through(answer):
    """The real questions, put to a server that is a function."""

    async def examine(url, _, exam, **more):
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            return await models.examine(url, client, exam, **more)

    return examine


def echo(request):
    """A server that repeats all that it gets, in each field of each answer."""
    got = request.headers["authorization"]
    if request.url.path.endswith("/models"):
        return httpx.Response(200, json={"data": [{"id": "gpt"}, {"id": got}]})
    return httpx.Response(400, json={"error": {"message": f"{'x' * 190} {got} {got[:20]}", "param": got}})


def test_the_key_is_sent_and_stands_nowhere_in_the_answer_even_if_the_server_repeats_it():
    text = asked(through(echo))
    assert CANARY not in text
    assert not [i for i in range(len(CANARY) - 7) if CANARY[i : i + 8] in text]
    probe = parse_probe(JobView("j", message=text))
    assert probe.healthy
    assert not probe.preflight.passed


def test_a_refused_key_is_said():
    probe = parse_probe(JobView("j", message=asked(through(lambda _: httpx.Response(401, text=CANARY)))))
    assert probe.preflight.reason is PoolReason.API_KEY_REFUSED


def test_a_line_break_after_the_key_is_no_part_of_it():
    async def examine(url, client, exam, *, api_key, external):
        return Probe(external and api_key == CANARY)

    assert json.loads(asked(examine, key=f"{CANARY}\n"))["healthy"] is True


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer within 120 s"),
        (ValueError(f"illegal header {CANARY}"), "the question could not be asked: ValueError"),
    ],
)
def test_an_exam_that_breaks_leaves_an_answer_too(error, words):
    async def examine(*_, **__):
        raise error

    report = json.loads(asked(examine))
    assert (report["healthy"], report["error"]) == (False, words)
