"""Servers that die and engines that hang, on a real cluster: who asks for a server soon knows, and it comes back."""

import json
import time
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.cluster

LATE_SECONDS = 2.0
"""Within so long after a pod's readiness has turned, runs must know."""

# As a server ends of itself: its launcher is the container's first process and ends with it.
END_SERVER = """
import os, signal
for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid != "1" and b"serve" in open(f"/proc/{pid}/cmdline", "rb").read().split(b"\\0"):
        os.kill(int(pid), signal.SIGTERM)
"""


@pytest.fixture(scope="module", autouse=True)
def _pools(pools):
    # The preflight without tools is one request.
    hangs = pools.make("hangs", env={"MOCK_ENGINE_HANGS_AFTER_REQUESTS": 2})
    pools.apply(hangs, pools.make("nimble", replicas=2))


@pytest.fixture(scope="module")
def hung(pools):
    """The pod of a server whose engine hangs from now on."""
    pools.until_ready("hangs")
    (pod,) = pools.pods("hangs")
    with pools.cluster.forward(f"pod/{pod['metadata']['name']}", 8000, namespace=pools.namespace) as port:
        assert ask(port, timeout=30)["choices"]
        with pytest.raises((TimeoutError, urllib.error.URLError)):
            ask(port, timeout=2)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as health:
            assert health.status == 200, "what makes a hang hard to see"
    return pod


def ask(port, timeout):
    body = {"model": "hangs", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Content-Type": "application/json"}
    address = f"http://127.0.0.1:{port}/v1/chat/completions"
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return json.loads(answer.read())


class Watched:
    """When the pod of nimble-1, the Service's endpoints and those that runs read turned, in seconds of one clock."""

    def __init__(self, pods, slices, written):
        self.pods, self.slices, self.written = pods, slices, written

    def pod_turned(self, since, pod, truth):
        """Return when a pod's condition Ready turned."""
        return first(self.pods, since, lambda text: text == f"{pod} {truth}")

    def service_turned(self, since, truth):
        """Return when the Service's endpoint turned."""
        return first(self.slices, since, lambda text: text == truth)

    def runs_were_told(self, since, *, ready):
        """Return when the ConfigMap turned."""
        return first(
            self.written,
            since,
            lambda text: {e["name"]: e["ready"] for e in json.loads(text)["endpoints"]}["nimble-1"] is ready,
        )


def first(seen, since, is_it):
    return next((at for at, text in seen if at >= since and text and is_it(text)), None)


@pytest.fixture
def watched(pools, hung):
    """Watches on nimble-1; an engine hangs meanwhile, which takes its time to show."""
    pools.until_ready("nimble", 2)
    pod, service = "toolorch.dev/instance=nimble-1", "kubernetes.io/service-name=nimble-1"
    with (
        pools.watching("pods", "{.metadata.name} {.status.conditions[?(@.type=='Ready')].status}", pod) as pods,
        pools.watching("endpointslices", "{.endpoints[*].conditions.ready}", service) as slices,
        pools.watching("configmap/nimble-endpoints", r"{.data.endpoints\.json}") as written,
    ):
        yield Watched(pods, slices, written)


def name_of_pod(pools):
    (name,) = (p["metadata"]["name"] for p in pools.pods("nimble") if p["metadata"]["name"].startswith("nimble-1-"))
    return name


def test_endpoints_follow_a_server_that_ends_and_comes_back(pools, watched, record_property):
    name = name_of_pod(pools)
    since = time.monotonic()
    pools.in_pod(name, END_SERVER)
    gone = pools.look(lambda: watched.pod_turned(since, name, "False"), pause=0.1)
    told = pools.look(lambda: watched.runs_were_told(since, ready=False), pause=0.1)
    back = pools.look(lambda: watched.pod_turned(gone, name, "True"), pause=0.1)
    in_service = pools.look(lambda: watched.service_turned(gone, "true"), pause=0.1)
    told_back = pools.look(lambda: watched.runs_were_told(told, ready=True), pause=0.1)
    record_property("seconds until endpoints drop a dead server", told - gone)
    record_property("seconds until endpoints have it again", told_back - back)
    record_property("seconds until its Service has it again", in_service - back)
    assert told - gone < LATE_SECONDS
    assert told_back - back < LATE_SECONDS
    assert in_service - back < LATE_SECONDS
    assert name_of_pod(pools) == name, "it was restarted where it was"


def test_endpoints_follow_a_pod_that_is_deleted_by_force(pools, watched, record_property):
    name = name_of_pod(pools)
    since = time.monotonic()
    pools.cluster.kubectl("delete", "pod", name, "--grace-period=0", "--force", namespace=pools.namespace)
    told = pools.look(lambda: watched.runs_were_told(since, ready=False), pause=0.1)
    record_property("seconds until endpoints drop a deleted pod", told - since)
    assert told - since < LATE_SECONDS
    pools.until_ready("nimble", 2)
    assert [e["ready"] for e in pools.endpoints("nimble")] == [True, True]


def test_an_engine_that_hangs_is_told_and_replaced(pools, hung):
    def replaced():
        pods = [p for p in pools.pods("hangs") if p["metadata"]["uid"] != hung["metadata"]["uid"]]
        return [p["metadata"]["name"] for p in pods]

    assert pools.look(replaced) != [hung["metadata"]["name"]]
    status = pools.until_ready("hangs")
    (note,) = pools.events("hangs", "EngineStalled")
    assert note.startswith("hangs-0 made no progress for")
    assert note.endswith("while requests ran; it is restarted")
    assert status.get("remediations", []) == [], "a hang is no memory crash"
    assert len(pools.pods("hangs")) == 1
