"""The API server's client against an HTTP server on loopback: paths, bodies, pages, and what each error becomes."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from urllib.parse import unquote

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from toolorch_operator.cluster import Cluster
from toolorch_operator.errors import Conflict, Denied, Invalid, NotFound, NotLeading, Throttled, Unavailable
from toolorch_operator.plan import Ref
from toolorch_operator.resources import CONFIG_MAPS, JOBS, MODEL_POOLS, NODES, PODS

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}


@asynccontextmanager
async def api(metrics, *answers, check=lambda: None):
    """A cluster whose server gives these answers (status, JSON, headers) in order; yields it and the requests seen."""
    seen, left = [], list(answers)

    async def answer(request):
        text = await request.text()
        seen.append((request.method, request.path_qs, request.headers.get("Content-Type"), json.loads(text or "null")))
        status, body, *headers = left.pop(0)
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, content_type="application/json", headers=dict(*headers))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    configuration.api_key["BearerToken"] = "bearer secret-token"
    cluster = Cluster(configuration, metrics, check)
    try:
        yield cluster, seen
    finally:
        await cluster.close()
        await runner.cleanup()


async def test_get_returns_the_object_or_none(frame):
    async with api(frame.metrics(), (200, {"kind": "Job"}), (404, {"message": "no"})) as (cluster, seen):
        assert await cluster.get(JOBS, "ns", "j") == {"kind": "Job"}
        assert await cluster.get(MODEL_POOLS, "ns", "p") is None
    assert [s[:2] for s in seen] == [
        ("GET", "/apis/batch/v1/namespaces/ns/jobs/j"),
        ("GET", "/apis/toolorch.dev/v1alpha1/namespaces/ns/modelpools/p"),
    ]


async def test_list_follows_pages(frame):
    pages = (
        (200, {"items": [{"a": 1}], "metadata": {"continue": "more"}}),
        (200, {"items": [{"a": 2}], "metadata": {}}),
    )
    async with api(frame.metrics(), *pages) as (cluster, seen):
        assert await cluster.list(PODS, "", "k=v") == [{"a": 1}, {"a": 2}]
    assert seen[0][1] == "/api/v1/pods?limit=100&labelSelector=k%3Dv"
    assert seen[1][1].endswith("&continue=more")


async def test_list_selects_by_fields_as_well(frame):
    async with api(frame.metrics(), (200, {"items": []})) as (cluster, seen):
        await cluster.list(PODS, fields="status.phase!=Failed")
    assert unquote(seen[0][1]) == "/api/v1/pods?limit=100&fieldSelector=status.phase!=Failed"


async def test_nodes_are_in_no_namespace():
    assert NODES.path() == "/api/v1/nodes"


async def test_apply_is_a_forced_server_side_apply(frame):
    async with api(frame.metrics(), (200, CONFIG_MAP)) as (cluster, seen):
        await cluster.apply("ns", CONFIG_MAP)
    path = "/api/v1/namespaces/ns/configmaps/c?fieldManager=toolorch&force=true"
    assert seen == [("PATCH", path, "application/apply-patch+yaml", CONFIG_MAP)]


async def test_create_gives_none_where_the_name_is_taken(frame):
    async with api(frame.metrics(), (201, CONFIG_MAP), (409, {"message": "exists"})) as (cluster, seen):
        assert await cluster.create("ns", CONFIG_MAP) == CONFIG_MAP
        assert await cluster.create("ns", CONFIG_MAP) is None
    assert seen[0][:2] == ("POST", "/api/v1/namespaces/ns/configmaps?fieldManager=toolorch")


async def test_delete_names_the_uid_that_was_observed_and_takes_404_for_success(frame):
    async with api(frame.metrics(), (200, {}), (404, {})) as (cluster, seen):
        await cluster.delete("ns", Ref("Job", "j", "u"))
        await cluster.delete("ns", Ref("Pod", "p"))
    assert seen[0][3] == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u"},
    }
    assert "preconditions" not in seen[1][3]


async def test_status_is_replaced_under_the_version_that_was_read(frame):
    raw = {**CONFIG_MAP, "kind": "ModelPool", "metadata": {"name": "p", "namespace": "ns", "resourceVersion": "7"}}
    async with api(frame.metrics(), (200, raw)) as (cluster, seen):
        await cluster.write_status(raw, {"reason": "Ready"})
    method, path, _, body = seen[0]
    assert (method, path) == ("PUT", "/apis/toolorch.dev/v1alpha1/namespaces/ns/modelpools/p/status")
    assert body == {**raw, "status": {"reason": "Ready"}}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (409, Conflict),
        (410, Conflict),
        (422, Invalid),
        (429, Throttled),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
async def test_every_bad_answer_has_a_name_and_is_counted(frame, status, error):
    metrics = frame.metrics()
    async with api(metrics, (status, {"message": "the server's words"}, {"Retry-After": "7"})) as (cluster, _):
        with pytest.raises(error, match="the server's words") as caught:
            await cluster.apply("ns", CONFIG_MAP)
    assert type(caught.value) is error
    assert caught.value.retry_after == (7.0 if error is Throttled else None)
    labels = ("verb", "resource", "code")
    assert frame.samples(metrics, "toolorch_api_requests_total", labels) == {("patch", "configmaps", str(status)): 1.0}


async def test_a_namespace_that_is_being_deleted_takes_nothing_and_that_is_no_matter_of_rights(frame):
    metrics = frame.metrics()
    going = {"message": "it is being terminated", "details": {"causes": [{"reason": "NamespaceTerminating"}]}}
    async with api(metrics, (403, going)) as (cluster, _):
        with pytest.raises(Conflict, match="terminated"):
            await cluster.apply("ns", CONFIG_MAP)
    assert frame.samples(metrics, "toolorch_api_requests_total", ("code",)) == {("NamespaceTerminating",): 1.0}


async def test_an_answer_that_is_no_json_is_still_an_error_with_its_words(frame):
    async with api(frame.metrics(), (502, "<html>bad gateway</html>")) as (cluster, _):
        with pytest.raises(Unavailable, match="bad gateway"):
            await cluster.get(PODS, "ns", "p")


async def test_a_server_that_is_not_there_is_unavailable(frame):
    cluster = Cluster(Configuration(host="http://127.0.0.1:9"), frame.metrics())
    with pytest.raises(Unavailable):
        await cluster.get(PODS, "ns", "p")
    await cluster.close()


async def test_credentials_carry_the_token_without_its_scheme(frame):
    async with api(frame.metrics()) as (cluster, _):
        held = await cluster.credentials()
    assert held.token == "secret-token"
    assert held.server.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("name", ["..", ".", "../../kube-system/secrets/x", "%2e%2e", "a?b", "a#b", "a b", "a/b"])
async def test_a_name_that_no_object_can_have_leads_nowhere_else(name):
    assert CONFIG_MAPS.path("ns", name) == "/api/v1/namespaces/ns/configmaps/..."
    assert CONFIG_MAPS.path(name, "x") == "/api/v1/namespaces/.../configmaps/x"


async def test_names_stand_in_paths_as_they_are(frame):
    async with api(frame.metrics(), (404, "{}")) as (cluster, seen):
        assert await cluster.get(CONFIG_MAPS, "ns", "..") is None
    assert seen[0][:2] == ("GET", "/api/v1/namespaces/ns/configmaps/...")
    assert CONFIG_MAPS.path("ns", "a.b-0:8000", "proxy") == "/api/v1/namespaces/ns/configmaps/a.b-0:8000/proxy"


async def test_a_log_is_its_last_lines_and_of_these_the_last_bytes(frame):
    said = "".join(f"line {i} {'é' * 100}\n" for i in range(2000))
    async with api(frame.metrics(), (200, "one\ntwo\n"), (200, said)) as (cluster, seen):
        assert await cluster.read_log("ns", "p", 5, 1000) == "one\ntwo\n"
        assert await cluster.read_log("ns", "p", 5, 1000) == said.encode()[-1000:].decode(errors="replace")
    assert seen[0][:2] == ("GET", "/api/v1/namespaces/ns/pods/p/log?tailLines=5")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        pytest.param(400, Invalid, id="its container is not there yet"),
        pytest.param(404, NotFound, id="the pod is gone"),
        pytest.param(500, Unavailable, id="its node does not answer"),
    ],
)
async def test_why_a_pod_has_no_log_is_told(frame, code, error):
    async with api(frame.metrics(), (code, {"message": "no"})) as (cluster, _):
        with pytest.raises(error):
            await cluster.read_log("ns", "p", 5, 1000)


async def test_no_server_has_no_log(frame):
    cluster = Cluster(Configuration(host="http://127.0.0.1:9"), frame.metrics())
    with pytest.raises(Unavailable, match="pods/log"):
        await cluster.read_log("ns", "p", 5, 1000)
    await cluster.close()


WRITES = {
    "apply": lambda cluster: cluster.apply("ns", CONFIG_MAP),
    "create": lambda cluster: cluster.create("ns", CONFIG_MAP),
    "delete": lambda cluster: cluster.delete("ns", Ref("Pod", "p")),
    "merge": lambda cluster: cluster.merge(PODS, "ns", "p", {}),
    "replace": lambda cluster: cluster.replace({**CONFIG_MAP, "metadata": {"name": "c", "namespace": "ns"}}),
    "write_status": lambda cluster: cluster.write_status(
        {"kind": "ModelPool", "metadata": {"name": "p", "namespace": "ns"}}, {}
    ),
}


def refuse():
    raise NotLeading("another leads")


@pytest.mark.parametrize("write", WRITES)
async def test_who_does_not_lead_sends_no(frame, write):
    async with api(frame.metrics(), check=refuse) as (cluster, seen):
        with pytest.raises(NotLeading):
            await WRITES[write](cluster)
    assert seen == []


async def test_who_does_not_lead_may_read(frame):
    async with api(frame.metrics(), (200, {}), (200, {"items": []}), check=refuse) as (cluster, seen):
        await cluster.get(PODS, "ns", "p")
        await cluster.list(PODS)
    assert len(seen) == 2


def test_every_way_to_write_is_among_the_tested():
    reads = {"close", "collect", "credentials", "get", "list", "read_log", "proxy"}
    assert {name for name in vars(Cluster) if not name.startswith("_")} == reads | set(WRITES)
