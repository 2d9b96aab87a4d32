"""Why a Job lacks pods stands in Events only: they are read for such a Job, and for no other."""

import pytest

from toolorch_api.evalrun import EvalRun
from toolorch_operator.errors import Denied
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.storage import Storage

REFUSED = {"message": 'Error creating: pods "run-plan-x" is forbidden: exceeded quota: team'}


class Cluster:
    """A fake cluster that also has one Job's Events."""

    def __init__(self, cluster, events):
        self.cluster, self.events, self.asked = cluster, events, []

    async def get(self, resource, namespace, name):
        return await self.cluster.get(resource, namespace, name)

    async def list(self, resource, namespace="", selector="", fields=""):
        if resource.plural != "events":
            return await self.cluster.list(resource, namespace, selector)
        self.asked.append(fields)
        if isinstance(self.events, Exception):
            raise self.events
        return self.events


def build_job(frame, **status):
    job = frame.child("Job", "run-plan", status=status)
    job["metadata"]["labels"] |= {"toolorch.dev/kind": "EvalRun", "toolorch.dev/name": "run"}
    job["metadata"]["uid"] = "job-uid"
    return job


@pytest.mark.parametrize(
    ("status", "events", "refusals"),
    [
        pytest.param({"active": 1}, [REFUSED], {}, id="a Job with its pods costs no request"),
        pytest.param({}, [REFUSED], {"run-plan": "exceeded quota: team"}, id="the API server's words are told"),
        pytest.param({}, [], {}, id="no Event tells nothing"),
        pytest.param({}, Denied("events"), {}, id="a role without that verb stops nothing"),
    ],
)
async def test_events_are_read_for_a_job_that_lacks_pods(frame, status, events, refusals):
    started = {"startTime": "2026-01-02T03:04:05Z", **status}
    cluster = Cluster(frame.cluster(build_job(frame, **started)), events)
    metrics = frame.metrics()
    observer = RunObserver(cluster, Storage(metrics), Facts(lambda: "token"), frame.defaults, Freshness())
    observed = await observer.observe(EvalRun.model_validate(frame.run()))
    assert observed.seen.refusals == refusals
    wanted = "involvedObject.kind=Job,involvedObject.uid=job-uid,reason=FailedCreate"
    assert cluster.asked == ([] if status else [wanted])


@pytest.mark.parametrize(
    ("leaving", "namespace", "is_going", "asked"),
    [
        pytest.param(False, {"deletionTimestamp": "2026-01-02T03:04:05Z"}, False, 0, id="no pod goes: nobody asks"),
        pytest.param(True, {}, False, 1, id="a pod goes, the namespace stays"),
        pytest.param(True, {"deletionTimestamp": "2026-01-02T03:04:05Z"}, True, 1, id="both go"),
        pytest.param(True, Denied("namespaces"), False, 1, id="a role without that verb stops nothing"),
    ],
)
async def test_a_namespace_is_looked_at_where_a_pod_goes(frame, leaving, namespace, is_going, asked):
    pod = frame.child("Pod", "run-a1-0")
    pod["metadata"]["labels"] |= {"toolorch.dev/kind": "EvalRun", "toolorch.dev/name": "run"}
    pod["metadata"]["creationTimestamp"] = "2026-01-02T03:04:00Z"
    pod["metadata"] |= {"deletionTimestamp": "2026-01-02T03:04:05Z"} if leaving else {}
    cluster, asks = frame.cluster(pod), []

    class Namespaced(Cluster):
        async def get(self, resource, of, name):
            if resource.kind != "Namespace":
                return await super().get(resource, of, name)
            asks.append((of, name))
            if isinstance(namespace, Exception):
                raise namespace
            return {"metadata": {"name": name, **namespace}}

    metrics = frame.metrics()
    observer = RunObserver(Namespaced(cluster, []), Storage(metrics), Facts(lambda: "t"), frame.defaults, Freshness())
    observed = await observer.observe(EvalRun.model_validate(frame.run()))
    assert observed.seen.namespace_is_going is is_going
    assert asks == [("", "default")] * asked
