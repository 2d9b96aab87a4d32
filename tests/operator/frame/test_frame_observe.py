"""What is observed: own children of this life, servers asked once, storage last and only where it can be opened."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from toolorch_api.evalrun import EvalRun
from toolorch_api.modelpool import ModelPool
from toolorch_operator.defaults import Defaults
from toolorch_operator.facts import Facts
from toolorch_operator.observe import PoolObserver, RunObserver
from toolorch_operator.storage import Storage


class Counting:
    """Counts the requests to a fake cluster."""

    def __init__(self, cluster):
        self.cluster, self.requests = cluster, []

    async def get(self, resource, namespace, name):
        self.requests.append(f"get {resource.plural}")
        return await self.cluster.get(resource, namespace, name)

    async def list(self, resource, namespace="", selector=""):
        self.requests.append(f"list {resource.plural}")
        return await self.cluster.list(resource, namespace, selector)


def build_pod(frame, created="2026-01-02T03:04:00Z", ready=True):
    pod = frame.child("Pod", "pool-0-x")
    pod["metadata"] |= {"uid": f"uid-{created}", "creationTimestamp": created}
    pod["metadata"]["labels"]["toolorch.dev/instance"] = "pool-0"
    pod["metadata"].pop("ownerReferences")
    status = {"name": "server", "ready": ready, "restartCount": 0, "state": {"running": {}}}
    return pod | {
        "spec": {"nodeName": "node", "containers": [{"name": "server"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [status]},
    }


class Server:
    """A model server that counts what it is asked."""

    def __init__(self, health=200):
        self.asked, self.health = [], health

    def __call__(self, request):
        self.asked.append(request.url.path)
        if request.url.path == "/health":
            return httpx.Response(self.health)
        return httpx.Response(200, content=json.dumps({"data": [{"id": "m"}], "version": "1"}))


def observer(cluster, server):
    return PoolObserver(cluster, httpx.AsyncClient(transport=httpx.MockTransport(server)))


async def test_a_pool_costs_four_lists_and_its_servers_are_asked_once_per_life(frame):
    cluster, server = Counting(frame.cluster(build_pod(frame))), Server()
    pools = observer(cluster, server)
    pool = ModelPool.model_validate(frame.pool())
    first, second = await pools.observe(pool), await pools.observe(pool)
    assert sorted(cluster.requests[:4]) == ["list configmaps", "list deployments", "list pods", "list services"]
    assert len(cluster.requests) == 8
    assert server.asked == ["/health", "/v1/models", "/version"]
    assert first.seen.probes == second.seen.probes
    assert first.seen.probes["pool-0"].models[0].id == "m"


async def test_a_server_that_is_not_healthy_is_asked_again(frame):
    server = Server(health=503)
    pools = observer(frame.cluster(build_pod(frame)), server)
    pool = ModelPool.model_validate(frame.pool())
    assert not (await pools.observe(pool)).seen.probes["pool-0"].healthy
    server.health = 200
    assert (await pools.observe(pool)).seen.probes["pool-0"].healthy


async def test_children_and_pods_of_a_deleted_namesake_are_not_seen(frame):
    cluster = frame.cluster(
        frame.child("Deployment", "pool-0"),
        frame.child("Deployment", "pool-1", uid="earlier life"),
        build_pod(frame, created="2026-01-02T02:00:00Z"),
    )
    observed = await observer(cluster, Server()).observe(ModelPool.model_validate(frame.pool()))
    assert list(observed.seen.deployments) == ["pool-0"]
    assert observed.seen.pods == []
    assert observed.live["Deployment", "pool-0"]["apiVersion"] == "apps/v1"


def build_secret(**values):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "data": encoded}


def run_observer(frame, cluster, uri="memory://evals/runs", secret=""):
    metrics = frame.metrics()
    defaults = Defaults("v", "e", uri, secret)
    return RunObserver(cluster, Storage(metrics), Facts(lambda: "token"), defaults), metrics


async def test_a_run_that_has_not_begun_sees_pools_and_proves_that_storage_is_writable(frame):
    cluster = Counting(frame.cluster(frame.pool(), build_secret(AWS_REGION="x")))
    runs, metrics = run_observer(frame, cluster, secret="s3")
    observed = await runs.observe(EvalRun.model_validate(frame.run()))
    assert list(observed.seen.pools) == ["pool"]
    assert observed.seen.secret_exists
    assert observed.seen.storage.reachable
    assert observed.seen.storage.manifest is None
    assert observed.blobs is not None
    requests = frame.samples(metrics, "toolorch_storage_requests_total", ("operation",))
    assert requests == {("put",): 32.0, ("delete",): 1.0, ("get",): 1.0}
    assert sorted(cluster.requests) == [
        "get modelpools",
        "get modelpools",
        "get secrets",
        "list configmaps",
        "list jobs",
        "list pods",
    ]


async def test_without_its_secret_storage_is_not_touched(frame):
    runs, metrics = run_observer(frame, frame.cluster(), secret="s3")
    observed = await runs.observe(EvalRun.model_validate(frame.run()))
    assert not observed.seen.secret_exists
    assert observed.blobs is None
    assert frame.samples(metrics, "toolorch_storage_requests_total") == {}


@pytest.mark.parametrize(
    ("uri", "secret"),
    [
        pytest.param("s3://evals", {"AWS_NONSENSE": "1"}, id="a setting that does not exist"),
        pytest.param(
            "s3://evals",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x"}
            | {"AWS_ACCESS_KEY_ID": "access-key", "AWS_SECRET_ACCESS_KEY": "secret-key"},
            id="a server that is not there",
        ),
    ],
)
async def test_storage_that_cannot_be_read_is_a_fact_and_no_error(frame, uri, secret):
    runs, _ = run_observer(frame, frame.cluster(build_secret(**secret)), uri, "s3")
    observed = await runs.observe(EvalRun.model_validate(frame.run()))
    assert not observed.seen.storage.reachable
    assert observed.seen.storage.error
    assert "-key" not in observed.seen.storage.error


async def test_a_settled_run_costs_no_request_to_storage(frame):
    runs, metrics = run_observer(frame, frame.cluster())
    run = frame.run()
    when = "2026-01-02T03:04:05Z"
    condition = {"type": "Failed", "status": "True", "reason": "RunFailed", "lastTransitionTime": when}
    run["status"] = {"conditions": [condition]}
    await runs.observe(EvalRun.model_validate(run))
    assert frame.samples(metrics, "toolorch_storage_requests_total") == {}
