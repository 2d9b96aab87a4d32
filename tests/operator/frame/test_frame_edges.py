"""The small edges: Events, watch handlers, probes over HTTP, credentials for the watch, the tunnel."""

from __future__ import annotations

import json
from datetime import timedelta

import httpx
import pytest

from toolorch_operator.credentials import Credentials
from toolorch_operator.errors import Unavailable
from toolorch_operator.handlers import NoMemories, build_registry, build_settings
from toolorch_operator.modelpool.observed import Probe, ServedModel
from toolorch_operator.models import probe
from toolorch_operator.owner import Key
from toolorch_operator.plan import Event
from toolorch_operator.proxied import tunnel_url
from toolorch_operator.reconcile import World
from toolorch_operator.recorder import build_event, post_event
from toolorch_operator.resync import Resync
from toolorch_operator.server import serve
from toolorch_operator.tunnel import TunnelTransport
from toolorch_operator.watch import Watch

POOL = Key("ModelPool", "default", "pool")
RUN = Key("EvalRun", "default", "run")


class Queue:
    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.is_stuck = False
        self.depth, self.lag = 3, 1.5

    def add(self, key: Key, after: float = 0.0) -> None:
        self.keys.append(key)


async def test_an_event_is_posted_and_a_repeat_within_ten_minutes_raises_its_count(frame):
    cluster = frame.cluster(frame.pool())
    event = Event("Lowered", "95 → 90", "Warning")
    await post_event(cluster, frame.pool(), event, frame.now)
    await post_event(cluster, frame.pool(), event, frame.now + timedelta(seconds=20))
    (posted,) = (o for (kind, _), o in cluster.objects.items() if kind == "Event")
    assert posted["count"] == 2
    assert (posted["reason"], posted["message"], posted["type"]) == ("Lowered", "95 → 90", "Warning")
    assert posted["involvedObject"]["uid"] == frame.uid
    assert (posted["firstTimestamp"], posted["lastTimestamp"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:04:25Z")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda f: (f.pool(), Event("Lowered", "90 → 85"), f.now), id="another message"),
        pytest.param(lambda f: (f.run(), Event("Lowered", "95 → 90"), f.now), id="another object"),
        pytest.param(lambda f: (f.pool(), Event("Lowered", "95 → 90"), f.now + timedelta(hours=1)), id="an hour later"),
    ],
)
def test_it_is_another_event_where(frame, other):
    first = build_event(frame.pool(), Event("Lowered", "95 → 90"), frame.now)
    assert build_event(*other(frame))["metadata"]["name"] != first["metadata"]["name"]


async def test_own_and_child_events_become_keys(frame):
    queue = Queue()
    watch = Watch(queue)
    await watch.own(body=frame.pool(), type="ADDED")
    await watch.child(body=frame.child("Job", "j"), type="DELETED")
    stranger = frame.child("Job", "j")
    stranger["metadata"]["labels"]["toolorch.dev/kind"] = "Something"
    await watch.child(body=stranger, type=None)
    assert queue.keys == [POOL, POOL]


async def test_a_pools_event_wakes_the_unfinished_runs_of_its_namespace(frame):
    queue = Queue()
    watch = Watch(queue)
    elsewhere = frame.run()
    elsewhere["metadata"]["namespace"] = "other"
    finished = frame.run()
    finished["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    await watch.own(body=frame.run(), type=None)
    await watch.own(body=elsewhere, type=None)
    queue.keys.clear()
    await watch.own(body=frame.pool(), type="MODIFIED")
    assert queue.keys == [POOL, RUN]
    await watch.own(body=finished, type="MODIFIED")
    queue.keys.clear()
    await watch.own(body=frame.pool(), type="MODIFIED")
    assert queue.keys == [POOL]


@pytest.mark.parametrize(
    ("reason", "kind", "type", "woken"),
    [
        pytest.param("InsufficientGPU", "Pod", "DELETED", 1, id="a pod that is gone wakes who waits for its room"),
        pytest.param("InsufficientGPU", "Pod", "MODIFIED", 0, id="one that only goes frees nothing"),
        pytest.param("InsufficientGPU", "Service", "DELETED", 0, id="a Service holds no room"),
        pytest.param("Starting", "Pod", "DELETED", 0, id="who waits for nobody is left alone"),
    ],
)
async def test_room_that_is_given_back_wakes_who_waits_for_it(frame, reason, kind, type, woken):
    queue, expired = Queue(), []
    watch = Watch(queue, lambda: expired.append(1))
    late = frame.pool()
    late["metadata"]["name"], late["status"] = "late", {"reason": reason}
    await watch.own(body=late, type="MODIFIED")
    queue.keys.clear()
    await watch.child(body=frame.child(kind, "p"), type=type)
    assert queue.keys == [POOL, *[Key("ModelPool", "default", "late")] * woken]
    assert len(expired) == woken, "a listing from before would still show it"


async def test_a_resync_adds_every_object_and_tries_again_what_was_refused(frame):
    queue, cluster = Queue(), frame.cluster(frame.pool(), frame.run())
    world = World(cluster, {}, frame.defaults, frame.clock, frame.metrics(), {POOL: 1})
    await Resync(world, queue).add_changed()
    assert queue.keys == [POOL, RUN]
    assert world.refused == {}


async def credentials() -> Credentials:
    return Credentials("https://server", token="t")


def test_kopf_is_told_to_watch_and_nothing_else():
    registry = build_registry(Watch(Queue()), credentials, lambda: None)
    assert len(registry._watching.get_all_handlers()) == 7
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()
    settings = build_settings()
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert not settings.posting.enabled


async def test_kopf_remembers_nothing_of_the_objects_that_it_has_seen():
    memories = NoMemories()
    assert (await memories.recall({"metadata": {"uid": "u"}}, noticed_by_listing=True)).noticed_by_listing
    assert list(memories.iter_all_memories()) == []
    await memories.forget({"metadata": {"uid": "u"}})


async def test_probes_and_metrics_are_served(frame):
    queue, state = Queue(), {"ready": "not watching yet", "alive": ""}
    runner, port = await serve(0, frame.metrics(), queue, lambda: state["alive"], lambda: state["ready"])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503
        state["ready"] = ""
        assert (await client.get("/readyz")).text == "ok\n"
        state["alive"] = "the queue is stuck"
        for path in ("/healthz", "/readyz"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (503, "the queue is stuck\n")
        text = (await client.get("/metrics")).text
    await runner.cleanup()
    assert "toolorch_queue_depth 3.0" in text
    assert "toolorch_queue_lag_seconds 1.5" in text


class ProxyingCluster:
    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def proxy(self, method: str, path: str, *, body, more, seconds) -> tuple[int, bytes]:
        self.asked.append((method, path, body, more, seconds))
        if path.endswith("/models"):
            return 200, json.dumps({"data": [{"id": "m", "max_model_len": 8}]}).encode()
        return (404, b"{}") if path.endswith("/version") else (200, b"data: [DONE]")


async def test_a_server_is_probed_through_the_api_server():
    cluster = ProxyingCluster()
    async with httpx.AsyncClient(transport=TunnelTransport(cluster)) as client:
        answer = await probe(tunnel_url("ns", "pool-0"), client)
    assert answer == Probe(True, (ServedModel("m", 8),))
    assert cluster.asked[0] == ("GET", "/api/v1/namespaces/ns/services/pool-0:8000/proxy/health", None, {}, 5.0)


async def test_a_chat_passes_the_api_server_with_its_body_id_and_patience():
    cluster = ProxyingCluster()
    url = f"{tunnel_url('ns', 'pool-0')}/chat/completions"
    async with httpx.AsyncClient(transport=TunnelTransport(cluster)) as client:
        answer = await client.post(url, json={"model": "m"}, headers={"X-Request-Id": "preflight/m/x"}, timeout=60)
    path = "/api/v1/namespaces/ns/services/pool-0:8000/proxy/v1/chat/completions"
    assert cluster.asked == [("POST", path, {"model": "m"}, {"X-Request-Id": "preflight/m/x"}, 60)]
    assert answer.text == "data: [DONE]"


async def test_an_api_server_that_is_away_is_a_probe_that_failed():
    class Away:
        async def proxy(self, *_: object, **__: object) -> tuple[int, bytes]:
            raise Unavailable("away")

    async with httpx.AsyncClient(transport=TunnelTransport(Away())) as client:
        assert not (await probe(tunnel_url("ns", "pool-0"), client)).healthy


async def test_the_login_gives_kopf_the_clusters_credentials():
    registry = build_registry(Watch(Queue()), credentials, lambda: None)
    (handler,) = (h for h in registry._activities.get_all_handlers() if "login" in h.id)
    info = await handler.fn()
    assert (info.server, info.scheme, info.token) == ("https://server", "Bearer", "t")
    assert info.expiration is not None
