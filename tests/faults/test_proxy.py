"""The proxy before an API server of a few lines: what it passes on, what it notes, and every fault it can make."""

import json

import pytest
from signatures import mask, matches, narrow, parse_call

PODS = "/api/v1/namespaces/plan/pods"


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("run-a1", "run-a1"),
        ("run-a1-0-x7k2p", "run-a1-0-*"),
        ("pool-0-6d5f9b7c4d-x2z9q", "pool-0-*"),
        ("run.1f9c2b3a4d5e6f70", "run.*"),
        ("pool-endpoints", "pool-endpoints"),
    ],
)
def test_a_name_is_masked_where_the_api_server_or_a_digest_made_it_up(name, masked):
    assert mask(name) == masked


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "signature"),
    [
        ("GET", "/api/v1/pods", {}, b"", "list pods"),
        ("GET", "/api/v1/pods", {"watch": "true"}, b"", "watch pods"),
        ("GET", "/api/v1/nodes", {}, b"", "list nodes"),
        ("GET", "/api/v1/namespaces/plan", {}, b"", "get namespaces/plan"),
        ("GET", f"{PODS}/run-a1-0-x7k2p/log", {}, b"", "get pods/run-a1-0-*/log"),
        ("POST", "/apis/batch/v1/namespaces/plan/jobs", {}, b'{"metadata":{"name":"run-a1"}}', "create jobs/run-a1"),
        ("PUT", "/apis/toolorch.dev/v1/namespaces/plan/evalruns/run/status", {}, b"", "update evalruns/run/status"),
        ("GET", "/api/v1/namespaces/plan/services/pool-0:8000/proxy/v1/models", {}, b"",
         "proxy services/pool-0:8000/proxy/v1/models"),
        ("GET", "/apis/batch/v1", {}, b"", "get /apis/batch/v1"),
    ],
)  # fmt: skip
def test_a_request_has_a_signature(method, path, query, body, signature):
    assert parse_call(method, path, query, body).signature == signature


def test_write_stands_for_every_verb_that_writes():
    assert matches("patch jobs/run-a1", "write *")
    assert matches("delete pods/run-a1-0-*", "write pods/run-a1-0-*")
    assert not matches("get jobs/run-a1", "write *")


@pytest.mark.parametrize(
    ("path", "narrowed"),
    [
        ("/apis/batch/v1/jobs", "/apis/batch/v1/namespaces/plan/jobs"),
        ("/api/v1/nodes", "/api/v1/nodes"),
        (PODS, PODS),
        ("/api/v1", "/api/v1"),
    ],
)
def test_only_lists_of_all_namespaces_are_narrowed(path, narrowed):
    assert narrow(parse_call("GET", path, {}), path, "plan") == narrowed


async def test_a_request_goes_through_as_it_is_and_a_list_of_all_is_one_of_the_namespace(proxied, small_api):
    await small_api.put(f"{PODS}/one", spec=1)
    _, session = await proxied()
    async with session.get("/api/v1/pods") as answer:
        found = await answer.json()
    assert [item["metadata"]["name"] for item in found["items"]] == ["one"]
    assert small_api.calls == [("GET", PODS)]


async def test_only_a_write_that_changes_its_object_is_effective(proxied, small_api):
    proxy, session = await proxied()
    async with session.post(PODS, json={"metadata": {"name": "one"}, "spec": 1}) as answer:
        assert answer.status == 201
    for spec in (1, 2, 2):
        await (await session.patch(f"{PODS}/one", json={"spec": spec})).read()
    await (await session.post(PODS, json={"metadata": {"name": "one"}})).read()
    await (await session.delete(f"{PODS}/one")).read()
    assert [(r.signature, r.status, r.effective) for r in proxy.trace.records] == [
        ("create pods/one", 201, True),
        ("patch pods/one", 200, False),
        ("patch pods/one", 200, True),
        ("patch pods/one", 200, False),
        ("create pods/one", 409, False),
        ("delete pods/one", 200, True),
    ]


async def test_lines_of_a_watch_go_through_and_are_in_the_trace(proxied, small_api):
    proxy, session = await proxied()
    async with session.get("/api/v1/pods?watch=true&resourceVersion=100") as answer:
        await small_api.put(f"{PODS}/one", spec="x" * 200_000)
        await small_api.put(f"{PODS}/one", "DELETED")
        got = [json.loads(line)["type"] for line in [await answer.content.readline() for _ in range(2)]]
    assert got == ["ADDED", "DELETED"]
    assert [r.signature for r in proxy.trace.records] == ["watch pods", "ADDED pods/one", "DELETED pods/one"]


async def test_model_servers_answer_by_what_is_given_for_them(proxied, small_api):
    async def servers(asked):
        return 200, asked.call.rest.encode()

    _, session = await proxied(servers=servers)
    async with session.get("/api/v1/namespaces/plan/services/pool-0:8000/proxy/v1/models") as answer:
        assert await answer.read() == b"/v1/models"
    assert small_api.calls == []
