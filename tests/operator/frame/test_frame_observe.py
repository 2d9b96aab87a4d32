"""What is observed: own children of this life, servers asked once, storage last and only where it can be opened."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from toolorch_api.evalrun import EvalRun
from toolorch_api.modelpool import ModelPool
from toolorch_operator.defaults import Defaults
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.inventory import Inventory
from toolorch_operator.owner import Key
from toolorch_operator.pool_observer import PoolObserver
from toolorch_operator.resources import PODS
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.storage import Storage


class Counting:
    """Counts the requests to a fake cluster."""

    def __init__(self, cluster):
        self.cluster, self.requests = cluster, []

    async def get(self, resource, namespace, name):
        self.requests.append(f"get {resource.plural}")
        return await self.cluster.get(resource, namespace, name)

    async def list(self, resource, namespace="", selector="", fields=""):
        self.requests.append(f"list {resource.plural}")
        return await self.cluster.list(resource, namespace, selector)

    async def collect(self, resource, view, namespace="", labelSelector="", fieldSelector=""):
        return [view(item) for item in await self.list(resource, namespace, labelSelector, fieldSelector)]

    async def read_log(self, namespace, pod, tail_lines=1, most=0):
        self.requests.append(f"log {pod}")
        return await self.cluster.read_log(namespace, pod, tail_lines)


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


class Prober:
    """Remembers what it was asked for, and answers nothing."""

    def __init__(self):
        self.asked = []

    def answers(self, owner, namespace, targets):
        self.asked += [(str(owner), namespace, t.url) for t in targets]
        return {}


def observer(frame, cluster, prober=None, freshness=None):
    inventory = Inventory(cluster, lambda: datetime(2026, 1, 2, 4, tzinfo=UTC))
    return PoolObserver(cluster, prober or Prober(), inventory, freshness or Freshness())


async def test_a_pool_costs_four_lists_and_shares_the_listing_of_the_cluster(frame):
    cluster, prober, freshness = Counting(frame.cluster(build_pod(frame))), Prober(), Freshness()
    pools = observer(frame, cluster, prober, freshness)
    pool = ModelPool.model_validate(frame.pool())
    await pools.observe(pool)
    own = ["list configmaps", "list deployments", "list pods", "list services"]
    shared = ["list evalruns", "list modelpools", "list nodes", "list pods", "list resourcequotas"]
    assert sorted(cluster.requests) == sorted([*own, *shared])
    cluster.requests.clear()
    freshness.mark(Key("ModelPool", "default", "pool"))
    await pools.observe(pool)
    assert sorted(cluster.requests) == own
    assert prober.asked == [("ModelPool/default/pool", "default", "http://10.0.0.1:8000/v1")] * 2


async def test_a_pool_that_no_event_was_about_costs_nothing_more(frame):
    cluster, freshness = Counting(frame.cluster(build_pod(frame))), Freshness()
    pools, pool = observer(frame, cluster, freshness=freshness), ModelPool.model_validate(frame.pool())
    first = await pools.observe(pool)
    cluster.requests.clear()
    assert (await pools.observe(pool)).seen.pods == first.seen.pods
    assert cluster.requests == []
    freshness.mark(Key("ModelPool", "default", "pool"), PODS)
    await pools.observe(pool)
    assert cluster.requests == ["list pods"]


@pytest.mark.parametrize(
    ("spec", "more"),
    [
        pytest.param({"cache": {"hostPath": "/models"}}, ["list jobs", "list pods"], id="that fetches its model"),
        pytest.param(
            {"toolCalling": {"parser": "hermes", "chatTemplate": {"configMapKeyRef": {"name": "t", "key": "k"}}}},
            ["get configmaps"],
            id="that has a chat template of its own",
        ),
    ],
)
async def test_what_a_pool_costs_more(frame, spec, more):
    cluster = Counting(frame.cluster())
    manifest = frame.pool()
    manifest["spec"] |= spec
    freshness = Freshness()
    pools = observer(frame, cluster, freshness=freshness)
    await pools.observe(ModelPool.model_validate(frame.pool()))
    usual = len(cluster.requests)
    cluster.requests.clear()
    freshness.mark(Key("ModelPool", "default", "pool"))
    await pools.observe(ModelPool.model_validate(manifest))
    own = ["list configmaps", "list deployments", "list pods", "list services"]
    assert usual == 9
    assert sorted(cluster.requests) == sorted([*own, *more])


async def test_children_and_pods_of_a_deleted_namesake_are_not_seen(frame):
    cluster = frame.cluster(
        frame.child("Deployment", "pool-0"),
        frame.child("Deployment", "pool-1", uid="earlier life"),
        build_pod(frame, created="2026-01-02T02:00:00Z"),
    )
    observed = await observer(frame, cluster).observe(ModelPool.model_validate(frame.pool()))
    assert list(observed.seen.deployments) == ["pool-0"]
    assert observed.seen.pods == []
    assert observed.live["Deployment", "pool-0"]["apiVersion"] == "apps/v1"


def build_secret(**values):
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "data": encoded}


def run_observer(frame, cluster, uri="memory://evals/runs", secret="", freshness=None):
    metrics = frame.metrics()
    defaults = Defaults("v", "e", output_uri=uri, output_secret=secret)
    return RunObserver(cluster, Storage(metrics), Facts(lambda: "token"), defaults, freshness or Freshness()), metrics


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


async def test_the_baseline_of_a_gate_costs_one_get_until_the_run_has_ended(frame):
    complete = {
        "type": "Complete",
        "status": "True",
        "reason": "RunComplete",
        "lastTransitionTime": "2026-01-02T03:04:00Z",
    }
    earlier = frame.run()
    earlier["metadata"] |= {"name": "earlier", "uid": "another"}
    earlier["status"] = {"results": "memory://evals/runs/earlier-another", "conditions": [complete]}
    cluster = Counting(frame.cluster(frame.pool(), earlier))
    runs, _ = run_observer(frame, cluster)
    raw = frame.run()
    raw["spec"]["gate"] = {"baseline": "earlier", "maxDrop": 2}
    observed = await runs.observe(EvalRun.model_validate(raw))
    assert observed.seen.baseline.root == "memory://evals/runs/earlier-another"
    assert cluster.requests.count("get evalruns") == 1
    await runs.observe(EvalRun.model_validate(raw | {"status": {"conditions": [complete]}}))
    assert cluster.requests.count("get evalruns") == 1


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


async def test_a_run_whose_children_have_gone_costs_no_request_at_all(frame):
    cluster = Counting(frame.cluster())
    runs, metrics = run_observer(frame, cluster)
    run = frame.run()
    run["status"] = {"expired": True}
    await runs.observe(EvalRun.model_validate(run))
    assert cluster.requests == []
    assert frame.samples(metrics, "toolorch_storage_requests_total") == {}
