"""What the frame reads and remembers of failed pods: their logs, what storage has of them, and their deaths."""

from __future__ import annotations

import base64
import json

import pytest

from toolorch_api.deaths import Death
from toolorch_api.evalrun import EvalRun
from toolorch_operator.blanking import blank_secrets
from toolorch_operator.carry_out import Target
from toolorch_operator.defaults import Defaults
from toolorch_operator.errors import Denied, Invalid, NotFound, Throttled, Unavailable
from toolorch_operator.evalrun.evidence import keep_evidence
from toolorch_operator.evalrun.observed import PodLog, PodView
from toolorch_operator.evalrun.wants import StorageWants
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.owner import Key
from toolorch_operator.plan import Plan
from toolorch_operator.pod_logs import TRIES, PodLogs
from toolorch_operator.reconcile import carry_out
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.storage import Storage

POD = PodView("p0", "run-a1", "shard", 1, "Failed", exit_code=137, index=0)
EXIT = "attempts/1/0/p0/exit.json"


def same(text):
    return text


@pytest.mark.parametrize(
    ("said", "log"),
    [
        pytest.param("one\ntwo\n", PodLog("one\ntwo\n"), id="its end"),
        pytest.param("", PodLog(""), id="nothing where nothing was printed"),
        pytest.param(NotFound("no"), PodLog(problem="the pod was gone before its log was read"), id="gone"),
        pytest.param(Invalid("no"), PodLog(problem="its container left no log"), id="no log"),
        pytest.param(Denied("no"), PodLog(problem="the operator may not read logs of pods"), id="no rights"),
    ],
)
async def test_a_log_is_read_or_known_to_be_lost(frame, said, log):
    cluster = frame.cluster()
    cluster.logs["p0"] = said
    assert await PodLogs(cluster).read("ns", [POD], same) == {"p0": log}


async def test_a_log_that_nobody_answers_for_is_given_up_after_some_looks(frame):
    cluster = frame.cluster()
    cluster.logs["p0"] = Unavailable("get pods/log: 502 no route to node-a")
    logs = PodLogs(cluster)
    for _ in range(TRIES - 1):
        assert await logs.read("ns", [POD], same) == {}
    given_up = await logs.read("ns", [POD], same)
    assert given_up == {"p0": PodLog(problem="nobody gave its log: get pods/log: 502 no route to node-a")}


async def test_an_api_server_that_asks_for_patience_gets_it(frame):
    cluster = frame.cluster()
    cluster.logs["p0"] = Throttled("slow down")
    logs = PodLogs(cluster)
    for _ in range(TRIES * 2):
        assert await logs.read("ns", [POD], same) == {}


def test_secrets_are_blanked_in_logs_whatever_their_form():
    secrets = ("very-secret", "first line\nsecond line\n", "on")
    text = "key very-secret, second line, s3://user:pw@host, and on goes on"
    assert blank_secrets(text, secrets) == "key ***, ***, s3://***@host, and on goes on"


@pytest.fixture
def opened(frame):
    metrics = frame.metrics()
    return Storage(metrics).open("memory://evals/run-1", {"KEY": "very-secret"}), metrics


async def test_what_storage_has_of_failed_pods_is_listed_until_it_has_it(opened, frame):
    folder, metrics = opened
    facts, wants = Facts(lambda: "t"), StorageWants(exits=frozenset({EXIT}))

    async def look():
        before = frame.samples(metrics, "toolorch_storage_requests_total", ("operation",)).get(("list",), 0)
        view = await facts.read(folder, "r", wants)
        after = frame.samples(metrics, "toolorch_storage_requests_total", ("operation",)).get(("list",), 0)
        return view.exits, after - before

    assert await look() == (frozenset(), 1)
    await folder.create(EXIT, b"{}")
    assert await look() == ({EXIT}, 1)
    assert await look() == ({EXIT}, 0)


async def test_a_death_is_read_once_and_a_broken_one_holds_nothing_up(opened, frame):
    folder, metrics = opened
    death = Death(spec_hash="h", attempt=1, what="pod", units=[3])
    await folder.create("deaths/1/a.json", death.model_dump_json(by_alias=True).encode())
    await folder.create("deaths/1/b.json", b"{")
    facts = Facts(lambda: "t")
    for _ in range(2):
        view = await facts.read(folder, "r", StorageWants(deaths=True))
        assert view.deaths == {"deaths/1/a.json": death}
    assert frame.samples(metrics, "toolorch_storage_requests_total", ("operation",))["get",] == 2


async def test_evidence_of_a_failed_pod_reaches_storage_once_and_without_secrets(frame):
    pod = frame.child("Pod", "run-a1-0-x")
    pod["metadata"]["labels"] |= {"toolorch.dev/kind": "EvalRun", "toolorch.dev/name": "run"}
    pod["metadata"]["labels"] |= {"toolorch.dev/step": "shard", "toolorch.dev/attempt": "1"}
    pod["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": "0"}
    ended = {"exitCode": 1, "reason": "Error", "message": "OSError: denied for very-secret"}
    pod["status"] = {"phase": "Failed", "containerStatuses": [{"state": {"terminated": ended}}]}
    keys = {"KEY": base64.b64encode(b"very-secret").decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3"}, "data": keys}
    cluster = frame.cluster(pod, secret, frame.run())
    cluster.logs["run-a1-0-x"] = "I use very-secret\n"
    metrics, defaults = frame.metrics(), Defaults("v", "e", output_uri="memory://evals/runs", output_secret="s3")
    runs = RunObserver(cluster, Storage(metrics), Facts(lambda: "t"), defaults, Freshness())
    raw = cluster.find("EvalRun", "run")
    run, target = EvalRun.model_validate(raw), Target(Key("EvalRun", "default", "run"), raw, cluster, metrics)

    async def look():
        observed = await runs.observe(run)
        await carry_out(keep_evidence(run, observed.seen, Plan()), target, observed, frame.clock)
        return observed

    first = await look()
    folder = "attempts/1/0/run-a1-0-x/"
    assert await first.blobs.get(f"{folder}pod.log") == b"I use ***\n"
    assert json.loads(await first.blobs.get(f"{folder}exit.json"))["message"] == "OSError: denied for ***"
    cluster.logs["run-a1-0-x"] = Unavailable("nobody asks again")
    again = await look()
    assert again.seen.logs == {}
    assert again.seen.storage.exits == {f"{folder}exit.json"}
