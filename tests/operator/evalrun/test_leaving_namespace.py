"""A namespace that is being deleted: Kubernetes waits for its pods, and a Job must not hold on to those that failed."""

from __future__ import annotations

import pytest

from toolorch_operator.evalrun.observed import JobView, ObservedRun
from toolorch_operator.evalrun.plan import plan
from toolorch_operator.plan import Ref

JOBS = {name: JobView(name, f"uid-{name}") for name in ("run-plan", "run-a1")}


@pytest.mark.parametrize("suspended", [False, True], ids=["a run under way", "a suspended run"])
def test_its_jobs_go_and_nothing_else_happens(kit, suspended):
    run = kit.run(suspend=suspended)
    planned = plan(run, ObservedRun(jobs=JOBS, namespace_is_going=True), kit.now, kit.defaults)
    assert planned.delete == tuple(Ref("Job", job.name, job.uid) for job in JOBS.values())
    assert (planned.create, planned.apply, planned.blobs, planned.status) == ((), (), (), None)
    assert planned.requeue_after is not None


def test_once_its_jobs_are_gone_nothing_is_made(kit):
    planned = plan(kit.run(), ObservedRun(namespace_is_going=True), kit.now, kit.defaults)
    assert (planned.delete, planned.create, planned.status) == ((), (), None)
