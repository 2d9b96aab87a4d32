"""What keeps a pool from ever becoming ready: one Event where a user has to mend it, else another look."""

from dataclasses import replace
from datetime import timedelta

import pytest

from toolorch_operator.modelpool.external.external import build_probe_job
from toolorch_operator.modelpool.fetch.job import build_fetch_job
from toolorch_operator.modelpool.observed import JobView
from toolorch_operator.modelpool.plan import plan

KEY = {"name": "keys", "key": "api-key"}
ELSEWHERE = {"engine": "external", "external": {"baseURL": "https://api.example.com/v1", "apiKeySecretRef": KEY}}
NO_IMAGE = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}


@pytest.fixture
def look(world, defaults):
    """Plan a pool twice in the same world, with Jobs in it; return the plans."""

    def planned(w, **seen):
        plans = []
        for _ in range(2):
            plans.append(plan(w.pool, replace(w.observe(), **seen), w.now, defaults))
            w.pool = w.pool.model_copy(update={"status": type(w.pool.status).model_validate(plans[-1].status)})
        return plans

    return planned


def view(job, **more):
    labels = job["metadata"]["labels"]
    return JobView(job["metadata"]["name"], "uid", labels["toolorch.dev/name"], labels["toolorch.dev/purpose"], **more)


def told(plans):
    return [[e.reason for e in p.events] for p in plans]


def test_a_fetch_that_failed_needs_the_user_and_is_told_once(world, defaults, look):
    w = world(model="org/model", cache={"persistentVolumeClaim": "models"})
    job = view(build_fetch_job(w.pool, defaults), failed=True, message="401 Unauthorized")
    plans = look(w, jobs=[job])
    assert told(plans) == [["FetchFailed"], []]
    assert "401 Unauthorized" in plans[0].events[0].message
    stalled = w.condition("Stalled")
    assert (stalled.status, stalled.reason) == ("True", "FetchFailed")
    assert "delete the Job to try again" in stalled.message
    assert w.condition("Reconciling").reason == "Settled"
    assert w.condition("Ready").reason == "FetchFailed"


def test_a_fetch_that_runs_needs_nobody(world, defaults, look):
    w = world(model="org/model", cache={"persistentVolumeClaim": "models"})
    assert told(look(w, jobs=[view(build_fetch_job(w.pool, defaults))])) == [[], []]
    assert w.condition("Stalled").status == "False"


def test_a_key_that_is_missing_from_the_start_is_told_once(world, defaults, look):
    w = world(**ELSEWHERE)
    job = view(build_probe_job(w.pool, defaults, 1), holdup='CreateContainerConfigError: secret "keys" not found')
    assert told(look(w, jobs=[job])) == [["ApiKeyNotFound"], []]


def test_an_image_that_is_missing_from_the_start_is_told_once(world, look):
    w = world()
    w.reconcile()
    w.roll()
    [pod] = w.pods.values()
    pod["status"] |= {"phase": "Pending", "containerStatuses": [{"name": "server", "ready": False, "state": NO_IMAGE}]}
    assert told(look(w)) == [["PodCannotStart"], []]


def test_a_pod_whose_node_takes_it_no_more_is_looked_at_again_soon(world):
    w = world()
    w.reconcile()
    w.roll()
    [pod] = w.pods.values()
    refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 was unschedulable"}
    pod["status"] = {"phase": "Pending", "conditions": [refused]}
    result = w.reconcile()
    assert w.pool.status.reason == "Unschedulable"
    assert result.requeue_after == timedelta(seconds=15), "a cordon is told by nobody"
