"""Questions to model servers, over a transport that answers like them."""

import httpx
import pytest

from toolorch_operator.modelpool.observed import Probe, ServedModel
from toolorch_operator.models import probe, probe_external

MODELS = {"object": "list", "data": [{"id": "orchestrator", "max_model_len": 4096}]}


async def ask(answers, question=probe, url="http://10.0.0.1:8000/v1"):
    def answer(request):
        value = answers.get(request.url.path, 404)
        if isinstance(value, Exception):
            raise value
        return httpx.Response(value) if isinstance(value, int) else httpx.Response(200, **value)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        return await question(url, client)


UP = {"/health": 200, "/v1/models": {"json": MODELS}, "/version": {"json": {"version": "0.33.0"}}}
SERVED = (ServedModel("orchestrator", 4096),)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, Probe(True, SERVED, "0.33.0"), id="everything answers"),
        pytest.param({"/version": 404}, Probe(True, SERVED, ""), id="an old server has no version"),
        pytest.param({"/health": 503}, Probe(False, error="/health answered 503"), id="the engine is dead"),
        pytest.param({"/version": 503}, Probe(False, error="/version answered 503"), id="its version comes later"),
        pytest.param({"/v1/models": 500}, Probe(False, error="/v1/models answered 500"), id="models fail"),
        pytest.param(
            {"/v1/models": {"text": "<html>"}}, Probe(False, error="no usable answer: JSONDecodeError"), id="no JSON"
        ),
        pytest.param({"/v1/models": {"json": []}}, Probe(False, error="no usable answer: ValueError"), id="no list"),
        pytest.param(
            {"/health": httpx.ConnectError("10.0.0.1")},
            Probe(False, error="no usable answer: ConnectError"),
            id="nobody listens",
        ),
    ],
)
async def test_a_server_is_probed_when(change, expected):
    assert await ask(UP | change) == expected


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        pytest.param({"json": MODELS}, Probe(True, SERVED), id="it lists its models"),
        pytest.param(401, Probe(True), id="it asks for a key"),
        pytest.param(404, Probe(False, error="/models answered 404"), id="it has no such page"),
        pytest.param(httpx.ReadTimeout("slow"), Probe(False, error="no usable answer: ReadTimeout"), id="it is slow"),
    ],
)
async def test_an_external_server_is_probed_when(models, expected):
    assert await ask({"/openai/v1/models": models}, probe_external, "https://llm.example/openai/v1/") == expected
