"""The exam of a model server: the mock in all its moods, within the test, and transports that fail as no mock does."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from aiohttp.test_utils import TestServer

from toolorch_api.pool_reasons import PoolReason
from toolorch_mock.arguments import parse_options
from toolorch_mock.brains.registry import find_model
from toolorch_mock.engine import Engine
from toolorch_mock.faults import FaultSettings
from toolorch_mock.server import Server
from toolorch_operator.modelpool.observed import Exam, Probe
from toolorch_operator.models import examine, probe_external, read_progress

PARSES = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
EXAM = Exam("served", calls_tools=True, template_kwargs={}, timeout_seconds=20, label="orchestrator")
KEY = "a-key-of-some-length"


@asynccontextmanager
async def mock(*arguments, model="mock/oracle", **faults):
    """A mock's OpenAI base URL."""
    options = parse_options(["serve", model, "--served-model-name", "served", *arguments])
    settings = FaultSettings(**faults)
    engine = Engine(settings, None, lambda: None)
    server = TestServer(Server(options, find_model(model), engine, lambda *_: None, settings.tool_format).build_app())
    await server.start_server(shutdown_timeout=0.1)
    try:
        yield str(server.make_url("/v1"))
    finally:
        await server.close()


async def verdict(url, exam=EXAM, **more):
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        return (await examine(url, client, exam, **more)).preflight


@pytest.mark.parametrize(
    ("arguments", "more", "reason", "words"),
    [
        pytest.param(PARSES, {}, PoolReason.CALLS_TOOLS, "", id="it calls tools"),
        pytest.param((), {}, PoolReason.AUTO_TOOL_CHOICE_DISABLED, "toolCalling.parser", id="no parser is set"),
        pytest.param(
            PARSES, {"tool_format": "mistral"}, PoolReason.TOOL_CALLS_NOT_PARSED, "such as mistral", id="mistral"
        ),
        pytest.param(
            PARSES, {"tool_format": "llama3_json"}, PoolReason.TOOL_CALLS_NOT_PARSED, "such as llama3_json", id="llama"
        ),
        pytest.param(
            PARSES, {"tool_format": "openai"}, PoolReason.TOOL_CALLS_NOT_PARSED, "such as openai", id="harmony"
        ),
        pytest.param(PARSES, {"tool_format": "granite"}, PoolReason.TOOL_CALLS_NOT_PARSED, "granite", id="granite"),
        pytest.param(PARSES, {"tool_format": "pythonic"}, PoolReason.TOOL_CALLS_NOT_PARSED, "pythonic", id="python"),
        pytest.param(
            PARSES, {"tool_format": "qwen3_coder"}, PoolReason.TOOL_CALLS_NOT_PARSED, "qwen3_coder", id="tags in tags"
        ),
        pytest.param(
            PARSES, {"tool_format": "phi4_mini_json"}, PoolReason.TOOL_CALLS_NOT_PARSED, "phi4_mini_json", id="phi"
        ),
        pytest.param(
            (*PARSES[:2], "mistral"),
            {"tool_format": "hermes"},
            PoolReason.TOOL_CALLS_NOT_PARSED,
            "such as hermes",
            id="hermes is written and mistral read",
        ),
        pytest.param(
            PARSES,
            {"model": "mock/silent"},
            PoolReason.MODEL_DOES_NOT_CALL_TOOLS,
            "it does under tool_choice required",
            id="it calls only what it must",
        ),
        pytest.param(
            PARSES, {"model": "mock/cut"}, PoolReason.TOOL_ARGUMENTS_INVALID, "are no JSON", id="arguments are cut"
        ),
        pytest.param(
            PARSES, {"model": "mock/thinking"}, PoolReason.REASONING_LEAKS_INTO_CONTENT, "", id="thoughts are not read"
        ),
        pytest.param(
            (*PARSES, "--reasoning-parser", "qwen3"),
            {"model": "mock/thinking"},
            PoolReason.CALLS_TOOLS,
            "",
            id="thoughts are read",
        ),
        pytest.param((*PARSES, "--max-model-len", "1024"), {}, PoolReason.CALLS_TOOLS, "", id="its context is short"),
        pytest.param(
            PARSES, {"error_percent": 100}, PoolReason.COMPLETION_FAILED, "was answered 500: ", id="it answers 500"
        ),
    ],
)
async def test_a_server_is_examined_when(arguments, more, reason, words):
    async with mock(*arguments, **more) as url:
        found = await verdict(url)
    assert (found.reason, found.passed) == (reason, reason is PoolReason.CALLS_TOOLS)
    assert words in found.message


@pytest.mark.parametrize(("hangs_after", "check"), [(0, "completion"), (2, "second-turn")])
async def test_a_server_that_hangs_while_it_answers_health_has_its_time(hangs_after, check):
    async with mock(*PARSES, hangs_after_requests=hangs_after) as url:
        found = await verdict(url, replace(EXAM, timeout_seconds=0.2))
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            progress = await read_progress(url, client)
    assert found.reason is PoolReason.PREFLIGHT_TIMED_OUT
    assert f"the check {check} " in found.message
    assert progress.running == 1


async def test_a_server_without_tools_only_completes():
    async with mock() as url:
        found = await verdict(url, replace(EXAM, calls_tools=False))
    assert (found.passed, found.reason) == (True, PoolReason.SERVES_MODEL)


async def test_a_server_of_another_name_is_not_examined():
    async with mock(*PARSES) as url, httpx.AsyncClient(trust_env=False, verify=False) as client:
        found = await examine(url, client, replace(EXAM, served_name="other"))
    assert found.healthy
    assert found.models[0].id == "served"
    assert found.preflight is None


async def test_an_external_server_takes_its_key():
    async with mock(*PARSES, "--api-key", KEY) as url:
        right, wrong = await verdict(url, api_key=KEY), await verdict(url, api_key="another-key")
        none = await verdict(url, external=True)
    assert right.reason is PoolReason.CALLS_TOOLS
    assert wrong.reason is none.reason is PoolReason.API_KEY_REFUSED
    assert "another-key" not in wrong.message


class Transport(httpx.AsyncBaseTransport):
    """Lists a model and gives one answer to every completion; keeps what it was asked."""

    def __init__(self, answer, models=("served",)):
        self.answer, self.models = answer, models
        self.bodies, self.headers = [], []

    async def handle_async_request(self, request):
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": m} for m in self.models]})
        self.bodies.append(json.loads(request.content))
        self.headers.append(request.headers)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def examined(transport, exam=EXAM, **more):
    async with httpx.AsyncClient(transport=transport) as client:
        return (await examine("https://llm.example/v1", client, exam, **more)).preflight


ECHO = httpx.Response(400, json={"error": {"message": f"no model for {KEY} or sk-abcdefgh1234 at http://10.0.0.7/v1"}})


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        pytest.param(
            httpx.ReadError("10.0.0.7"),
            PoolReason.COMPLETION_FAILED,
            "broke in the check completion: ReadError",
            id="cut",
        ),
        pytest.param(httpx.ReadTimeout("x"), PoolReason.PREFLIGHT_TIMED_OUT, "the check completion", id="too slow"),
        pytest.param(
            httpx.Response(200, text="<html>"), PoolReason.COMPLETION_FAILED, "the answer is no JSON", id="no JSON"
        ),
        pytest.param(
            httpx.Response(200, json={"choices": []}),
            PoolReason.COMPLETION_FAILED,
            "no chat completion",
            id="no choice",
        ),
        pytest.param(
            ECHO, PoolReason.COMPLETION_FAILED, "was answered 400: no model for … or … at …", id="its key told"
        ),
    ],
)
async def test_what_went_wrong_is_told_without_secrets_and_addresses(answer, reason, words):
    found = await examined(Transport(answer), api_key=KEY)
    assert (found.passed, found.reason) == (False, reason)
    assert words in found.message
    assert KEY not in found.message
    assert "10.0.0.7" not in found.message


READY = {"choices": [{"message": {"content": "ready"}, "finish_reason": "stop"}]}


async def test_each_request_carries_its_name_the_key_and_what_the_template_wants():
    transport = Transport(httpx.Response(200, json=READY))
    exam = replace(EXAM, calls_tools=False, template_kwargs={"enable_thinking": False})
    assert (await examined(transport, exam, api_key=KEY)).passed
    (headers,), (body,) = transport.headers, transport.bodies
    assert headers["X-Request-Id"] == "preflight/orchestrator/completion"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["model"], body["max_completion_tokens"]) == ("served", 16)
    assert "temperature" not in body


async def test_a_server_of_our_own_gets_limits_that_every_version_knows_and_no_key():
    transport = Transport(httpx.Response(200, json=READY))
    assert (await examined(transport, replace(EXAM, calls_tools=False))).passed
    assert (transport.bodies[0]["max_tokens"], transport.bodies[0]["temperature"]) == (16, 0)
    assert "chat_template_kwargs" not in transport.bodies[0]
    assert "Authorization" not in transport.headers[0]


async def test_an_external_server_that_lists_nothing_is_trusted_to_have_the_model():
    found = await examined(
        Transport(httpx.Response(200, json=READY), ()), replace(EXAM, calls_tools=False), external=True
    )
    assert found.passed


async def test_a_refused_key_is_a_verdict_and_no_outage():
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(403))) as client:
        found = await probe_external("https://llm.example/v1", client, api_key=KEY)
        assert await probe_external("https://llm.example/v1", client) == Probe(True)
    assert found.healthy
    assert found.preflight.reason is PoolReason.API_KEY_REFUSED


async def test_a_server_without_engines_tells_no_progress():
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(404))) as client:
        assert await read_progress("http://10.0.0.7:8000/v1", client) is None


async def test_a_key_that_the_client_holds_itself_is_not_told_either():
    async with httpx.AsyncClient(transport=Transport(ECHO), headers={"Authorization": f"Bearer {KEY}"}) as client:
        found = (await examine("https://llm.example/v1", client, EXAM, external=True)).preflight
    assert "no model for … or …" in found.message
