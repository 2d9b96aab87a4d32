"""What an operator asks of the API server is what the chart's role allows, and what it reads as a secret stays one."""

import asyncio
import base64
import json
from pathlib import Path

import pytest
import pytest_asyncio
import zstandard
from arena import Arena
from fault_plan import FaultPlan
from rights import find_used, read_rights
from workloads import OUTSIDE, RUN, Workload, is_complete, is_so, run_spec

pytestmark = pytest.mark.faults

CANARY = "canary-5f0c8e21-of-a-run"
SECONDS = 100.0
"""What a workload is said to take, of which it may take three times: nothing here is about time."""
PLAYED = ("pool-scale", "pool-loses-pod", "run-cancel")
FRAME = "tests/operator/frame/test_frame"
UNSEEN = {
    ("", "pods/log", "get"): f"{FRAME}_evidence.py::test_a_log_is_read_or_known_to_be_lost",
    ("", "pods", "delete"): "tests/operator/evalrun/test_stall.py::test_a_pod_is_replaced_or_not_where",
    (
        "",
        "events",
        "get",
    ): f"{FRAME}_edges.py::test_an_event_is_posted_and_a_repeat_within_ten_minutes_raises_its_count",
    (
        "",
        "events",
        "patch",
    ): f"{FRAME}_edges.py::test_an_event_is_posted_and_a_repeat_within_ten_minutes_raises_its_count",
    ("", "events", "list"): f"{FRAME}_refusals.py::test_events_are_read_for_a_job_that_lacks_pods",
    ("", "namespaces", "get"): f"{FRAME}_refusals.py::test_a_namespace_is_looked_at_where_a_pod_goes",
    ("batch", "jobs", "get"): f"{FRAME}_reconcile.py::test_a_child_of_a_deleted_namesake_is_waited_for",
}
"""Rights for what these workloads come to by chance or never, and a test in which each is asked for."""
ELSEWHERE = {
    ("toolorch.dev", "modelpools/finalizers", "update"), ("toolorch.dev", "evalruns/finalizers", "update"),
}  # fmt: skip
"""Rights that no request needs, but an admission plugin that other clusters have."""


async def keep_a_secret(stage):
    """Let a run with a Secret of its own come to its end, and its children be deleted soon after."""
    await stage.create_secret("keys", {"AWS_SECRET_ACCESS_KEY": CANARY})
    external = {"baseURL": stage.external}
    await stage.create("ModelPool", OUTSIDE, {"engine": "external", "model": "m/outside", "external": external})
    await stage.until(lambda: is_so(stage, "ModelPool", OUTSIDE, "Ready"), "a Ready pool outside")
    output = {"uri": stage.output, "secretRef": {"name": "keys"}}
    await stage.create("EvalRun", RUN, run_spec(output=output, ttlSecondsAfterFinished={"complete": 2}))
    await stage.until(lambda: is_complete(stage), "a Complete run with its report")
    await stage.until(lambda: not stage.story.all("Job"), "a run without children")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played():
    """What became of each workload, by name."""
    async with Arena() as arena:
        plans = [arena.run_plan(FaultPlan(name, name), seconds=SECONDS) for name in PLAYED]
        secret = FaultPlan("keep-a-secret", "keep-a-secret")
        outcomes = await asyncio.gather(
            *plans, arena.run_plan(secret, seconds=SECONDS, workload=Workload("keep-a-secret", keep_a_secret))
        )
        yield {outcome.workload: outcome for outcome in outcomes}


async def test_workloads_come_to_their_end(played):
    assert {name: o.late or o.broken for name, o in played.items() if o.late or o.broken} == {}


async def test_rights_are_those_that_are_used(played):
    rights, used = read_rights(), set().union(*(find_used(o.trace.records) for o in played.values()))
    assert used - rights == set(), "the API server would refuse these"
    leases = {right for right in rights if right[1] == "leases"}
    assert leases == {("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")}
    assert rights - used - leases - ELSEWHERE - UNSEEN.keys() == set(), "nobody asks for these"


@pytest.mark.parametrize("named", sorted(set(UNSEEN.values())))
def test_what_is_seen_elsewhere_is_tested_there(named):
    path, _, name = named.partition("::")
    assert f"def {name}(" in (Path(__file__).parents[2] / path).read_text()


async def test_a_secret_is_in_no_object_log_or_result(played):
    outcome = played["keep-a-secret"]
    stored = list_files(outcome.folder)
    assert any(record.signature == "get secrets/keys" for record in outcome.trace.records), "the operator has read it"
    written = [record.sent for record in outcome.trace.records if record.sent]
    assert written
    said = json.dumps([written, list(outcome.story.objects.values())], default=str) + "\n".join(map(str, outcome.logs))
    assert [path for path in stored if path.name == "summary.json"]
    for secret in (CANARY, base64.b64encode(CANARY.encode()).decode()):
        assert secret not in said
        assert not [path for path in stored if secret.encode() in unpacked(path)]


def list_files(folder):
    """Return the files below a folder."""
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def unpacked(path):
    """Return what a stored file holds."""
    body = path.read_bytes()
    return zstandard.ZstdDecompressor().decompressobj().decompress(body) if path.suffix == ".zst" else body
