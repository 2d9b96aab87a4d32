"""Pods as the API gives them become views, crashes with a class, and a replica's state."""

import pytest

from toolorch_operator.modelpool.external.external import external_replica
from toolorch_operator.modelpool.instances import current_pods
from toolorch_operator.modelpool.memory.crashes import parse_crashes
from toolorch_operator.modelpool.observed import ObservedPool, Probe, ServedModel
from toolorch_operator.modelpool.plan import plan
from toolorch_operator.modelpool.pods import PodView, parse_pod
from toolorch_operator.modelpool.targets import probe_targets, proof

END = {"exitCode": 85, "reason": "Error", "message": '{"v": 1, "class": "CAPTURE_OOM", "gmu": 0.95, "msg": "boom"}'}


def raw(*, restarts=0, state=None, last=None, meta=None, ready=False, conditions=()):
    live = {"name": "server", "restartCount": restarts, "ready": ready, "state": state or {}, "lastState": last or {}}
    return {
        "metadata": {"name": "p-0-x", "uid": "u", "labels": {"toolorch.dev/instance": "p-0"}, **(meta or {})},
        "spec": {
            "nodeName": "node-a",
            "containers": [{"name": "sidecar"}, {"name": "server", "command": ["--gpu-memory-utilization", "0.90"]}],
        },
        "status": {
            "phase": "Running",
            "conditions": list(conditions),
            "containerStatuses": [{"name": "sidecar", "ready": True, "restartCount": 9}, live],
        },
    }


LISTS_GPT = Probe(True, (ServedModel("gpt"),))


@pytest.mark.parametrize(
    ("pod", "keys"),
    [
        pytest.param(raw(state={"terminated": END}), ["u/0"], id="it just ended"),
        pytest.param(
            raw(state={"waiting": {"reason": "CrashLoopBackOff"}}, last={"terminated": END}),
            ["u/0"],
            id="the kubelet backs off",
        ),
        pytest.param(
            raw(restarts=1, state={"running": {}}, last={"terminated": END}), ["u/0"], id="the next start runs"
        ),
        pytest.param(
            raw(restarts=1, state={"terminated": END}, last={"terminated": END}), ["u/0", "u/1"], id="it ended again"
        ),
        pytest.param(raw(state={"running": {}}), [], id="it never ended"),
    ],
)
def test_one_crash_has_one_key_when(pod, keys):
    assert [c.key for c in parse_crashes([parse_pod(pod)])] == keys


def crash_of(**end):
    return parse_crashes([parse_pod(raw(state={"terminated": {**END, **end}}))])[0]


@pytest.mark.parametrize(
    ("end", "signature"),
    [
        pytest.param({}, "CAPTURE_OOM", id="the launcher tells the class"),
        pytest.param({"message": "", "reason": "OOMKilled", "exitCode": 137}, "HOST_OOM", id="the kernel killed it"),
        pytest.param({"message": "Traceback …"}, "NONE", id="the image wrote words of its own"),
        pytest.param({"message": '["a"]'}, "NONE", id="the message is other JSON"),
        pytest.param({"message": None}, "NONE", id="there is no message"),
    ],
)
def test_the_class_of_a_crash_when(end, signature):
    assert crash_of(**end).signature == signature


def test_a_crash_belongs_to_the_utilization_that_its_pod_was_started_with():
    assert crash_of().utilization == 90


def test_a_server_that_stops_because_its_pod_is_deleted_did_not_crash():
    going = raw(state={"terminated": {**END, "exitCode": 143}}, meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert parse_crashes([parse_pod(going)]) == []


def test_of_several_pods_the_newest_that_stays_speaks_for_the_replica():
    old = PodView("a", "1", "p-0", created="2026-01-01T00:00:00Z")
    new = PodView("b", "2", "p-0", created="2026-01-01T00:00:09Z")
    going = PodView("c", "3", "p-0", created="2026-01-01T00:00:10Z", deleting=True)
    evicted = PodView("d", "4", "p-0", created="2026-01-01T00:00:11Z", phase="Failed")
    assert current_pods([new, old, going, evicted]) == {"p-0": new}


def test_servers_are_asked_by_their_own_address_and_kept_answers_end_with_a_restart(pool_of):
    pod = PodView("a", "uid", "p-0", ip="fd00::7", node="n", ready=True, restart_count=2)
    target = probe_targets(pool_of("p"), [pod])[0]
    assert (target.key, target.url, target.identity) == ("p-0", "http://[fd00::7]:8000/v1", proof(pool_of("p"), pod))
    assert target.identity.startswith("uid/2/")


UNSCHEDULABLE = [
    {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."}
]


@pytest.mark.parametrize(
    ("pod", "reason", "word"),
    [
        pytest.param({"unschedulable": "2 Insufficient nvidia.com/gpu."}, "WaitingForGPU", "2 Insufficient", id="GPU"),
        pytest.param({"unschedulable": "node(s) had untolerated taint"}, "Unschedulable", "taint", id="taint"),
    ],
)
def test_a_pod_without_a_node_says_what_it_waits_for(world, defaults, noon, template_of, pod, reason, word):
    w = world()
    waiting = PodView("x", "u", "orchestrator-0", template=template_of(w.pool), **pod)
    result = plan(w.pool, ObservedPool(pods=[waiting]), noon, defaults)
    placed = next(c for c in result.status["conditions"] if c["type"] == "Placed")
    assert (placed["status"], placed["reason"], result.status["reason"]) == ("False", reason, reason)
    assert word in placed["message"]
    assert [e.reason for e in result.events] == [reason]


def test_a_deployment_that_may_make_no_pod_says_why(world, defaults, noon):
    failed = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    w = world()
    seen = ObservedPool(deployments={"orchestrator-0": {"status": {"conditions": [failed]}}})
    result = plan(w.pool, seen, noon, defaults)
    assert result.status["reason"] == "Unschedulable"
    assert "orchestrator-0 gets no pod: exceeded quota: gpus" in result.status["conditions"][0]["message"]


def test_the_schedulers_words_are_read_from_the_pod():
    assert parse_pod(raw(conditions=UNSCHEDULABLE)).unschedulable.startswith("0/2 nodes")


@pytest.mark.parametrize(
    ("probe", "state", "reason"),
    [
        pytest.param(None, "Pending", "Starting", id="it was not asked yet"),
        pytest.param(Probe(True), "Ready", "AllReplicasReady", id="it asks for a key"),
        pytest.param(Probe(True, (ServedModel("gpt"),)), "Ready", "AllReplicasReady", id="it lists the model"),
        pytest.param(Probe(True, (ServedModel("x"),)), "Pending", "ServedNameMismatch", id="it lists other models"),
        pytest.param(Probe(False, error="no"), "Pending", "ModelServerUnreachable", id="it does not answer"),
    ],
)
def test_an_external_pool_has_no_pods_and_is_judged_by_one_question_when(pool_of, defaults, noon, probe, state, reason):
    pool = pool_of("gpt", engine="external", external={"baseURL": "http://llm.example:9000/v1/"})
    observed = ObservedPool(probes={} if probe is None else {"gpt": probe})
    result = plan(pool, observed, noon, defaults)
    assert external_replica(pool, pool.spec.external.base_url, observed).state == state
    assert result.status["reason"] == reason
    assert [m["metadata"]["name"] for m in result.apply] == ["gpt-endpoints"]
    assert result.requeue_after is None, "its next answer wakes the pool"


@pytest.mark.parametrize(
    ("port", "named", "state"),
    [
        pytest.param(9000, {}, "Ready", id="it had passed"),
        pytest.param(9001, {}, "Pending", id="it is another server"),
        pytest.param(9000, {"servedModelName": "other"}, "Pending", id="it is to serve another model"),
    ],
)
def test_a_new_operator_that_has_not_asked_an_external_server_yet_finds_it(pool_of, defaults, noon, port, named, state):
    known = plan(external(pool_of), ObservedPool(probes={"gpt": LISTS_GPT}), noon, defaults).status
    later = external(pool_of, port, status=known, **named)
    assert plan(later, ObservedPool(), noon, defaults).status["instances"][0]["state"] == state


def test_an_external_server_that_wants_a_key_proves_nothing(pool_of, defaults, noon):
    known = plan(external(pool_of), ObservedPool(probes={"gpt": Probe(True)}), noon, defaults).status
    assert (known["instances"][0]["state"], known["instances"][0]["proven"]) == ("Ready", "")


def external(pool_of, port=9000, **more):
    return pool_of("gpt", engine="external", external={"baseURL": f"http://llm.example:{port}/v1"}, **more)
