"""One fetch per model, revision and cache: who makes the Job, what its pod is, how far it is, and what ends it."""

import json

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Fetch, FetchState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.claims.fit import find_weights
from toolorch_operator.modelpool.fetch.job import job_name, needs_fetch, offline_env
from toolorch_operator.modelpool.fetch.legs import plan_fetch
from toolorch_operator.modelpool.jobs import newest_pod, parse_job
from toolorch_operator.modelpool.observed import ObservedPool

DEFAULTS = Defaults("vllm:test", "evaluator:test")
GIB = 1 << 30
CLAIM = {"persistentVolumeClaim": "models"}
FOLDER = {"hostPath": "/models"}


def make_pool(name="big", *, nodes=(), **spec):
    spec = {"model": "org/model", "cache": CLAIM, "replicas": 2, **spec}
    instances = [{"name": f"{name}-{i}", "node": node} for i, node in enumerate(nodes)]
    meta = {"name": name, "namespace": "evals", "uid": f"uid-{name}"}
    return ModelPool.model_validate({"metadata": meta, "spec": spec, "status": {"instances": instances}})


def pod_of(job, *, state=None, scheduled=True, message=""):
    """A pod of a Job as the API gives it: it runs, or is in the given state of its container."""
    state = state or {"running": {}}
    no_node = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {
        "metadata": {
            "name": f"{job['metadata']['name']}-x",
            "labels": {
                **job["spec"]["template"]["metadata"]["labels"],
                "batch.kubernetes.io/job-name": job["metadata"]["name"],
            },
        },
        "status": {
            "conditions": [] if scheduled else [no_node],
            "containerStatuses": [
                {"name": "a-sidecar", "state": {"waiting": {"reason": "ImagePullBackOff"}}},
                {"name": job["spec"]["template"]["spec"]["containers"][0]["name"], "state": state},
            ],
        },
    }


def running(job, log=""):
    return parse_job(job, [pod_of(job)], log)


def ended(job, condition, **report):
    over = {**job, "status": {"conditions": [{"type": condition, "status": "True"}]}}
    return parse_job(over, [pod_of(job, state={"terminated": {"message": json.dumps(report)}})])


def done(job, **report):
    return ended(job, "Complete", v=1, **{"done": 60 * GIB, "weights": 32 * GIB, **report})


def failed(job, msg="401 Unauthorized"):
    return ended(job, "Failed", v=1, done=0, weights=None, msg=msg)


def plan(pool, *jobs, others=(), nodes=("node-a",), defaults=DEFAULTS):
    return plan_fetch(pool, ObservedPool(jobs=jobs, namesakes=others), defaults, nodes)


def job_of(pool, **more):
    (job,) = plan(pool, **more).create
    return job


@pytest.mark.parametrize(
    ("spec", "needed"),
    [
        pytest.param({}, True, id="a hub's model and a claim"),
        pytest.param({"cache": FOLDER}, True, id="a hub's model and a folder of the node"),
        pytest.param({"cache": None}, False, id="without a cache every server fetches for itself"),
        pytest.param({"model": "/models/own"}, False, id="a path is in the cache already"),
        pytest.param({"model": "./own"}, False, id="so is a path relative to it"),
        pytest.param({"env": [{"name": "HF_HUB_OFFLINE", "value": "1"}]}, False, id="who is offline cannot fetch"),
        pytest.param({"env": [{"name": "HF_HUB_OFFLINE", "value": "0"}]}, True, id="who says that it is not, can"),
    ],
)
def test_what_is_fetched(spec, needed):
    pool = make_pool(**spec)
    assert needs_fetch(pool.spec) is needed
    result = plan(pool)
    assert (bool(result.create), result.is_done) == (needed, not needed)
    assert bool(offline_env(pool)) is needed
    assert result.status.state is (FetchState.WAITING if needed else FetchState.NOT_NEEDED)


def test_servers_that_found_their_files_fetched_ask_no_hub():
    assert offline_env(make_pool()) == {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    assert offline_env(make_pool(cache=FOLDER), nodes_known=False) == {}


def test_the_pod_is_restricted_holds_no_gpu_and_runs_the_hubs_command_in_the_pools_image():
    env = [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}]
    job = job_of(make_pool(revision="v2", env=env, image="own:1"))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "own:1"
    assert container["command"][2:] == [
        "org/model", "v2", "--", "hf", "download", "org/model", "--revision", "v2",
    ]  # fmt: skip
    assert container["env"][-1] == env[0]
    assert {"name": "HF_HOME", "value": "/models/huggingface"} in container["env"]
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["automountServiceAccountToken"] is False
    assert set(container["resources"]["limits"]) == {"memory"}
    assert job["spec"]["backoffLimit"] == 3
    assert "ttlSecondsAfterFinished" not in job["spec"]


def test_a_pod_that_fetches_is_no_server_to_the_pools_services():
    job = job_of(make_pool())
    assert job["metadata"]["labels"]["toolorch.dev/name"] == "big"
    assert "toolorch.dev/name" not in job["spec"]["template"]["metadata"]["labels"]


def test_the_command_can_be_another():
    own = Defaults("vllm:test", "e", fetch_command=("cp", "-r", "/from/{model}@{revision}", "/models"))
    container = job_of(make_pool(), defaults=own)["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][4:] == ["--", "cp", "-r", "/from/org/model@main", "/models"]


def test_a_claim_is_first_used_near_a_server():
    (wish,) = job_of(make_pool(), nodes=["node-b"])["spec"]["template"]["spec"]["affinity"]["nodeAffinity"].values()
    assert wish[0]["preference"]["matchFields"][0]["values"] == ["node-b"]
    labels = {"placement": {"nodeSelector": {"zone": "a"}}}
    (wish,) = job_of(make_pool(**labels), nodes=None)["spec"]["template"]["spec"]["affinity"]["nodeAffinity"].values()
    assert wish[0]["preference"]["matchExpressions"] == [{"key": "zone", "operator": "In", "values": ["a"]}]


def test_of_the_pools_that_share_a_fetch_the_first_by_name_makes_it_and_the_others_wait():
    first, second = make_pool("a"), make_pool("b")
    job = job_of(first, others=[second])
    waiting = plan(second, others=[first])
    assert (waiting.create, waiting.is_done) == ((), False)
    assert waiting.status.job == job["metadata"]["name"] == waiting.holdup.split()[1]
    for pool, other in ((first, second), (second, first)):
        assert plan(pool, running(job), others=[other]).status.state is FetchState.RUNNING
        assert plan(pool, done(job), others=[other]).is_done
        assert plan(pool, failed(job), others=[other]).reason is PoolReason.FETCH_FAILED


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"revision": "v2"}, id="another revision"),
        pytest.param({"cache": {"persistentVolumeClaim": "others"}}, id="another claim"),
        pytest.param({"model": "org/other"}, id="another model"),
        pytest.param({"replicas": 0}, id="no replica"),
    ],
)
def test_nobody_waits_for_a_pool_of(other):
    assert plan(make_pool("b"), others=[make_pool("a", **other)]).create


def test_a_pool_that_comes_later_takes_the_fetch_that_is_there():
    job = job_of(make_pool("b"))
    result = plan(make_pool("a"), running(job), others=[make_pool("b")])
    assert (result.create, result.status.job) == ((), job["metadata"]["name"])


@pytest.mark.parametrize(
    ("log", "told", "total"),
    [
        pytest.param("", None, None, id="nothing yet"),
        pytest.param("Fetching 12 files", None, None, id="words only"),
        pytest.param(json.dumps({"done": 3 * GIB, "total": None}), "3", None, id="bytes without an end"),
        pytest.param(json.dumps({"done": 31 * GIB + 5, "total": 64 * GIB}), "30.7", "64", id="a percentage"),
        pytest.param(json.dumps({"done": 2 * GIB, "total": None}) + "\nfile 3 of 12", "2", None, id="words after it"),
        pytest.param('{"done": "much"}', None, None, id="no number"),
    ],
)
def test_progress_is_the_newest_word_in_the_log(log, told, total):
    result = plan(make_pool(), running(job_of(make_pool()), log))
    assert (result.status.done_gib, result.status.total_gib) == (told, total)
    assert result.status.state is FetchState.RUNNING
    assert f"{told or 0}{f' of {total}' if total else ''} GiB so far" in result.holdup
    assert result.requeue_after is not None


def test_status_changes_about_a_hundred_times():
    job = job_of(make_pool())
    logs = (json.dumps({"done": n * GIB // 50, "total": 60 * GIB}) for n in range(0, 3001, 5))
    assert len({plan(make_pool(), running(job, log)).status.model_dump_json() for log in logs}) <= 102


def test_what_is_fetched_tells_the_weights_and_so_whether_they_fit(defaults):
    pool = make_pool()
    seen = ObservedPool(jobs=[done(job_of(pool)), done(job_of(make_pool("a", model="org/other")), weights=1)])
    told = plan_fetch(pool, seen, defaults, ["node-a"]).status
    assert told.weights_gib == "32"
    knows = pool.model_copy(update={"status": pool.status.model_copy(update={"fetch": told})})
    assert find_weights(knows) == 32.0
    assert find_weights(pool) is None
    silent = ObservedPool(jobs=[done(job_of(pool), weights=None)])
    assert plan_fetch(pool, silent, defaults, ["node-a"]).status.weights_gib is None
    assert plan_fetch(knows, silent, defaults, ["node-a"]).status.weights_gib == "32", "what was known stays known"
    assert plan_fetch(pool, seen, DEFAULTS).status.done_gib == "60"


@pytest.mark.parametrize(
    ("told", "known"),
    [("0123abcd" * 5, "0123abcd" * 5), (None, ""), ("main", ""), ("x" * 40, "")],
    ids=["a commit", "nothing", "a branch", "no hash"],
)
def test_the_fetched_commit_is_known_where_the_fetch_tells_one(told, known):
    pool = make_pool()
    result = plan(pool, parse_job(job_of(pool), []))
    assert result.commit == ""
    assert plan(pool, done(job_of(pool), commit=told)).commit == known


def test_a_failure_stays_says_why_and_what_to_do():
    pool = make_pool()
    result = plan(pool, failed(job_of(pool), "line one\n401 Unauthorized"))
    assert (result.create, result.delete, result.is_done) == ((), (), False)
    assert result.reason is PoolReason.FETCH_FAILED
    assert "line one 401 Unauthorized; correct the spec, or delete the Job to try again" in result.holdup
    assert result.status.message == result.holdup
    assert result.requeue_after is None
    assert plan(pool).create, "a deleted Job is made anew"


def test_a_try_that_failed_is_told_before_the_next_one():
    pool = make_pool()
    job = job_of(pool)
    report = {"v": 1, "done": 0, "weights": None, "msg": "line one\n401 Unauthorized"}
    result = plan(pool, parse_job(job, [pod_of(job, state={"terminated": {"message": json.dumps(report)}})]))
    assert (result.reason, result.is_done) == (PoolReason.FETCHING_MODEL, False)
    assert result.holdup.endswith("is to try again to fetch the model: line one 401 Unauthorized")
    assert plan(pool, running(job)).holdup.endswith("0 GiB so far"), "the next try is judged by itself"


def test_a_corrected_spec_replaces_a_failed_job():
    job = failed(job_of(make_pool()))
    corrected = make_pool(env=[{"name": "HF_TOKEN", "value": "good"}])
    result = plan(corrected, job)
    assert [r.name for r in result.delete] == [job.name]
    assert [m["metadata"]["name"] for m in result.create] == [job_name(corrected, DEFAULTS)] != [job.name]


def test_a_new_image_fetches_nothing_twice_but_a_new_revision_does():
    job = done(job_of(make_pool()))
    assert plan(make_pool(image="own:2"), job).is_done
    result = plan(make_pool(revision="v2"), job)
    assert [r.name for r in result.delete] == [job.name]
    assert result.create


def test_a_fetch_that_is_needed_no_more_goes():
    job = running(job_of(make_pool()))
    result = plan(make_pool(cache=None), job)
    assert ([r.name for r in result.delete], result.is_done) == ([job.name], True)


def test_where_each_node_has_a_cache_each_gets_a_fetch_and_servers_start_where_it_is_done():
    pool = make_pool(cache=FOLDER)
    jobs = plan(pool, nodes=["node-a", "node-b"]).create
    required = [j["spec"]["template"]["spec"]["affinity"]["nodeAffinity"] for j in jobs]
    terms = [r["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] for r in required]
    assert [t[0]["matchFields"][0]["values"] for t in terms] == [["node-a"], ["node-b"]]
    result = plan(pool, done(jobs[0]), running(jobs[1]), nodes=["node-a", "node-b"])
    assert (result.has_files("node-a"), result.has_files("node-b")) == (True, False)
    assert "(1 of 2 nodes have it)" in result.holdup
    assert plan(pool, done(jobs[0]), done(jobs[1]), nodes=["node-a", "node-b"]).is_done


def test_a_node_without_a_replica_keeps_the_proof_of_its_files():
    pool = make_pool(cache=FOLDER)
    first, second = plan(pool, nodes=["node-a", "node-b"]).create
    result = plan(pool, done(first), running(second), nodes=["node-c"])
    assert [r.name for r in result.delete] == [second["metadata"]["name"]]


def test_per_node_a_pool_waits_only_for_one_that_is_there():
    pool, there, elsewhere = (
        make_pool(name, cache=FOLDER, nodes=[node]) for name, node in (("c", "n-1"), ("b", "n-1"), ("a", "n-2"))
    )
    assert not plan(pool, others=[there, elsewhere], nodes=["n-1"]).create
    assert plan(pool, others=[elsewhere], nodes=["n-1"]).create


def test_per_node_nothing_is_fetched_before_a_node_is_known_nor_where_only_the_scheduler_knows():
    pool = make_pool(cache=FOLDER)
    early = plan(pool, nodes=[])
    assert (early.create, early.is_done, early.status.state) == ((), False, FetchState.WAITING)
    assert plan(pool, nodes=None).is_done


def test_a_pool_that_sleeps_has_its_files_still():
    pool = make_pool(cache=FOLDER)
    awake = pool.model_copy(update={"status": pool.status.model_copy(update={"fetch": Fetch(state=FetchState.DONE)})})
    assert plan(awake, nodes=[]).status.state is FetchState.DONE


def test_a_pool_at_zero_fetches_nothing():
    result = plan(make_pool(replicas=0))
    assert (result.create, result.is_done, result.requeue_after) == ((), True, None)


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        pytest.param([], "no pod yet", id="has no pod"),
        pytest.param([{"scheduled": False, "message": "no claim"}], "Unschedulable: no claim", id="finds no node"),
        pytest.param(
            [{"state": {"waiting": {"reason": "ErrImagePull", "message": "gone"}}}], "ErrImagePull: gone", id="no image"
        ),
    ],
)
def test_why_a_fetch_does_not_begin(pods, why):
    job = job_of(make_pool())
    view = parse_job(job, [pod_of(job, **pod) for pod in pods])
    result = plan(make_pool(), view)
    assert result.status.state is FetchState.WAITING
    assert why in result.holdup


def test_the_youngest_pod_speaks_for_a_job():
    job = job_of(make_pool())
    old, new = pod_of(job), pod_of(job)
    old["metadata"] |= {"name": "old", "creationTimestamp": "2026-01-01T12:00:00Z"}
    new["metadata"] |= {"name": "new", "creationTimestamp": "2026-01-01T12:01:00Z"}
    assert newest_pod(job["metadata"]["name"], [new, old])["metadata"]["name"] == "new"
    assert newest_pod("another", [new, old]) == {}


def test_a_job_that_failed_without_a_word_is_told_in_kubernetes_words():
    job = job_of(make_pool())
    late = {"type": "Failed", "status": "True", "message": "Job was active longer than specified deadline"}
    view = parse_job({**job, "status": {"conditions": [late]}}, [])
    assert "active longer than specified deadline" in plan(make_pool(), view).holdup
