"""Retrieval: an index built from a user's documents, and the service over it, as a client meets them."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.retrieval.commands import Embeddings, make_index, serve_index
from toolorch_evaluator.retrieval.corpus import parse_corpus, parse_whitelist
from toolorch_evaluator.retrieval.dense import Embedder, EmbeddingError
from toolorch_evaluator.retrieval.index import build_index, open_index
from toolorch_evaluator.retrieval.service import Service, build_loaded

DOCUMENTS = [
    {"id": "cat", "title": "Cats", "text": "A cat is a small animal that catches mice."},
    {"id": "dog", "contents": "A dog guards the house and barks at strangers."},
    {"id": "fish", "content": "Fish live in water and breathe through gills."},
    {"id": "owl", "text": "An owl hunts mice at night and turns its head."},
]
CORPUS = "\n".join(map(json.dumps, DOCUMENTS)).encode()
AXES = ("mice", "water", "house")


async def embeddings_server(fail=0):
    """An embeddings server whose vectors count words; the first `fail` requests get 503."""
    asked = []

    async def embed(request):
        body = await request.json()
        asked.append((body, request.headers.get("Authorization")))
        if len(asked) <= fail:
            return web.Response(status=503)
        rows = [{"index": n, "embedding": [0.1 + text.count(a) for a in AXES]} for n, text in enumerate(body["input"])]
        return web.json_response({"data": rows[::-1]})

    app = web.Application()
    app.add_routes([web.post("/v1/embeddings", embed)])
    server = TestServer(app)
    await server.start_server()
    return server, asked


async def opened(tmp_path, embedder=None, whitelist=None):
    store = Results(open_store(tmp_path.joinpath("index").as_uri()), patience=0)
    await build_index(CORPUS, store, embedder)
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    _, documents, ranking = await open_index(store, scratch, embedder)
    return build_loaded(documents, ranking, whitelist or {})


async def client_of(service):
    client = TestClient(TestServer(service.app()))
    await client.start_server()
    return client


async def ask(client, **body):
    answer = await client.post("/retrieve", json={"queries": ["what hunts mice"], **body})
    return answer.status, await answer.json()


def ids(answer):
    return [hit["document"]["id"] for hit in answer[0]]


async def test_words_find_the_documents_that_hold_them_best_first(tmp_path):
    service = Service()
    await service.warm_up(await opened(tmp_path))
    client = await client_of(service)
    status, answer = await ask(client, topk=3)
    assert (status, ids(answer)) == (200, ["owl", "cat"])
    assert answer[0][0]["score"] > answer[0][1]["score"] > 0
    assert answer[0][1]["document"]["content"].startswith("Cats\nA cat")
    assert ids((await ask(client, queries=["zebra"]))[1]) == []
    _, two = await ask(client, queries=["gills", "barks"], return_scores=False, topk=1)
    assert [hits[0]["document"]["id"] for hits in two] == ["fish", "dog"]
    assert "score" not in two[0][0]
    await client.close()


async def test_a_question_with_a_whitelist_sees_no_other_document(tmp_path):
    service = Service()
    await service.warm_up(await opened(tmp_path, whitelist={"q1": frozenset(["cat", "gone"]), "q2": frozenset()}))
    client = await client_of(service)
    assert ids((await ask(client, eid="q1"))[1]) == ["cat"]
    assert ids((await ask(client, eid="q2"))[1]) == []
    assert ids((await ask(client, eid="q3"))[1]) == ["owl", "cat"]
    await client.close()


async def test_health_waits_for_the_first_answer(tmp_path):
    service = Service()
    client = await client_of(service)
    assert (await client.get("/health")).status == 503
    assert (await ask(client))[0] == 503
    await service.warm_up(await opened(tmp_path))
    answer = await client.get("/health")
    assert (answer.status, await answer.json()) == (200, {"status": "ok", "documents": 4})
    await client.close()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"queries": []}, "1 to 64 texts"),
        ({"queries": "mice"}, "list"),
        ({"queries": [" "]}, "each query"),
        ({"queries": ["x" * 10_001]}, "each query"),
        ({"topk": 0}, "topk"),
        ({"topk": True}, "topk"),
        ({"topk": 1001}, "topk"),
    ],
    ids=["none", "no list", "blank", "too long", "nothing wanted", "no number", "too many"],
)
async def test_a_request_that_cannot_be_answered_is_told_why(tmp_path, body, words):
    service = Service()
    await service.warm_up(await opened(tmp_path))
    client = await client_of(service)
    status, answer = await ask(client, **body)
    assert status == 400
    assert words in answer["error"]
    garbage = await client.post("/retrieve", data=b"{")
    assert (garbage.status, "no JSON" in (await garbage.json())["error"]) == (400, True)
    await client.close()


async def test_meaning_is_ranked_by_a_servers_embeddings_and_queries_have_their_prefix(tmp_path):
    server, asked = await embeddings_server(fail=1)
    async with httpx.AsyncClient() as http:
        embedder = Embedder(str(server.make_url("/v1")), "embed", http, "a-key", "Query: ", longest_pause=0)
        service = Service()
        await service.warm_up(await opened(tmp_path, embedder, {"q1": frozenset(["fish", "dog"])}))
        client = await client_of(service)
        assert ids((await ask(client, topk=2))[1]) in (["cat", "owl"], ["owl", "cat"])
        assert set(ids((await ask(client, topk=5, eid="q1"))[1])) == {"fish", "dog"}
        await client.close()
    assert asked[-1] == ({"model": "embed", "input": ["Query: what hunts mice"]}, "Bearer a-key")
    assert "Query: " not in asked[0][0]["input"][0]
    await server.close()


async def test_an_embeddings_server_that_is_away_is_said_and_the_service_stays(tmp_path):
    server, _ = await embeddings_server()
    async with httpx.AsyncClient() as http:
        embedder = Embedder(str(server.make_url("/v1")), "embed", http, longest_pause=0)
        service = Service()
        await service.warm_up(await opened(tmp_path, embedder))
        client = await client_of(service)
        await server.close()
        status, answer = await ask(client)
        assert (status, "/v1" in answer["error"]) == (503, True)
        assert (await client.get("/health")).status == 200
        await client.close()
        with pytest.raises(EmbeddingError):
            await build_index(CORPUS + b'\n{"id": 9, "text": "new"}', Results(open_store(tmp_path.as_uri())), embedder)


async def test_an_index_of_embeddings_is_not_served_without_its_model(tmp_path):
    server, _ = await embeddings_server()
    store = Results(open_store(tmp_path.as_uri()))
    async with httpx.AsyncClient() as http:
        embedder = Embedder(str(server.make_url("/v1")), "embed", http, longest_pause=0)
        await build_index(CORPUS, store, embedder)
        other = Embedder(embedder.url, "another", http)
        for given in (None, other):
            with pytest.raises(BadInputError, match="embeddings by embed"):
                await open_index(store, tmp_path, given)
    await server.close()


async def test_an_equal_index_is_left_and_an_unfinished_one_is_built_anew(tmp_path):
    store = Results(open_store(tmp_path.as_uri()))
    first = await build_index(CORPUS, store, None)
    written = (tmp_path / "documents.jsonl").stat().st_mtime_ns
    assert await build_index(CORPUS, store, None) == first
    assert (tmp_path / "documents.jsonl").stat().st_mtime_ns == written
    (tmp_path / "index.json").unlink()
    assert await build_index(CORPUS, store, None) == first
    with pytest.raises(BadInputError, match="toolorch-evaluator index"):
        await open_index(Results(open_store((tmp_path / "none").as_uri())), tmp_path, None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no document"),
        (b'{"id": "a"}', "row 1 has no text; its fields are id"),
        (b'{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}', "'a' is there twice"),
        (b"{", "line 1 is no JSON"),
    ],
    ids=["an empty file", "no text", "one id twice", "no JSON"],
)
def test_what_is_wrong_with_documents_is_a_sentence(body, words):
    with pytest.raises(ValueError, match=words):
        parse_corpus(body)


def test_a_whitelist_is_an_object_of_lists():
    assert parse_whitelist(b'{"q": ["a", 1]}') == {"q": frozenset(["a", "1"])}
    with pytest.raises(ValueError, match="whitelist is a JSON object"):
        parse_whitelist(b"[1]")


@pytest.mark.parametrize(
    ("corpus", "words"),
    [
        ("file:///none/x.jsonl", "does not exist"),
        ("ftp://x/y", "must start with"),
        ("hf://models/a/b", "hf://datasets"),
    ],
)
async def test_documents_that_are_not_there_are_a_sentence(tmp_path, corpus, words):
    with pytest.raises(BadInputError, match=words):
        await make_index(corpus, tmp_path.as_uri(), Embeddings(), {})
    with pytest.raises(BadInputError, match="belong together"):
        await make_index((tmp_path / "x").as_uri(), tmp_path.as_uri(), Embeddings(url="http://e"), {})


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_until_healthy(port):
    for _ in range(200):
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/health").is_success:
                return
        time.sleep(0.1)
    raise AssertionError("the service was not healthy within 20 s")


def test_the_command_serves_a_users_documents_until_it_is_told_to_stop(tmp_path):
    (tmp_path / "documents.jsonl").write_bytes(CORPUS)
    documents, folder = (tmp_path.joinpath(name).as_uri() for name in ("documents.jsonl", "index"))
    assert asyncio.run(make_index(documents, folder, Embeddings(), {})).documents == len(DOCUMENTS)
    port, env = free_port(), {"PATH": os.environ["PATH"], "TOOLORCH_TERMINATION_LOG": str(tmp_path / "word")}
    command = [sys.executable, "-m", "toolorch_evaluator", "retrieve", folder, "--port", str(port)]
    serving = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        wait_until_healthy(port)
        body = {"queries": ["what hunts mice"]}
        assert ids(httpx.post(f"http://127.0.0.1:{port}/retrieve", json=body).json())[0] == "owl"
    finally:
        serving.send_signal(signal.SIGTERM)
        code = serving.wait(20)
    assert code == 0


async def test_a_folder_without_an_index_ends_the_service_with_a_sentence(tmp_path):
    with pytest.raises(BadInputError, match="toolorch-evaluator index"):
        await serve_index(tmp_path.as_uri(), "", free_port(), Embeddings(), {})
