"""Servers that run out of memory on a real cluster: what heals by itself, and what ends with advice."""

from itertools import pairwise

import pytest

pytestmark = pytest.mark.cluster

# A GPU on which 0.7 leaves nothing for the KV cache and 0.9 leaves 4.43 GiB, with weights of 15.27 GiB.
SMALL_GPU = {"MOCK_GPU_GIB": 24}

HEALED = {
    "lowered": (
        {"env": {"MOCK_OOM_ABOVE_UTILIZATION": 88}, "gpuMemoryUtilization": 90},
        ("CAPTURE_OOM", "gpuMemoryUtilization", "90", "85"),
        "GpuMemoryUtilizationLowered",
    ),
    "raised": (
        {"env": SMALL_GPU, "gpuMemoryUtilization": 70, "maxModelLen": 4096},
        ("KV_NONE", "gpuMemoryUtilization", "70", "75"),
        "GpuMemoryUtilizationRaised",
    ),
    "shortened": (
        {"env": SMALL_GPU, "gpuMemoryUtilization": 90, "maxModelLen": 65536},
        ("KV_SMALL", "maxModelLen", "65536", "32256"),
        "MaxModelLenCut",
    ),
    "halved": (
        {"env": {"MOCK_MAX_SEQS": 64}, "maxNumSeqs": 128},
        ("SAMPLER_OOM", "maxNumSeqs", "128", "64"),
        "MaxNumSeqsCut",
    ),
    # More than its limit is really taken: the kernel ends the server, and nobody scripts its crash.
    "fattened": (
        {"env": {"MOCK_HOST_MEMORY_MIB": 200}, "resources": {"memory": "192Mi"}},
        ("HOST_OOM", "memory", "192Mi", "288Mi"),
        "HostMemoryRaised",
    ),
    "raced": (
        {"env": {"MOCK_RACE_STARTS": 1}},
        ("RACE", "restart", "0", "1"),
        "RestartedAsItWas",
    ),
}  # fmt: skip

ADVISED = {
    "too-heavy": ({"MOCK_CRASH": "LOAD_OOM"}, "LOAD_OOM", "ModelDoesNotFit", "Raise tensorParallelSize", 1),
    "no-room": ({"MOCK_CRASH": "SHM"}, "SHM", "SharedMemoryTooSmall", "Raise resources.sharedMemory", 0),
    "taken": ({"MOCK_FREE_GIB": 20}, "FREE_LT", "GPUOccupied", "20 of 79.25 GiB were free", 1),
}

FIELDS = {"gpuMemoryUtilization": int, "maxModelLen": int, "maxNumSeqs": int, "memory": str}


@pytest.fixture(scope="module", autouse=True)
def _sick(pools):
    pools.apply(
        *(pools.make(name, **spec) for name, (spec, _, _) in HEALED.items()),
        *(pools.make(name, env=env) for name, (env, *_) in ADVISED.items()),
    )


@pytest.mark.parametrize("name", HEALED)
def test_a_server_with_too_little_memory_is_healed_by_the_remedy_of_its_crash(pools, name, record_property):
    _, (signature, field, before, after), event = HEALED[name]
    status = pools.until_ready(name)
    (record,) = status["remediations"]
    assert (record["signature"], record["field"], record["from"], record["to"]) == (signature, field, before, after)
    if field in FIELDS:
        assert status["effective"][field] == FIELDS[field](after)
    assert (status["ready"], status["reason"]) == ("1/1", "AllReplicasReady")
    fit = pools.condition(name, "MemoryFit")
    assert (fit["status"], fit["reason"]) == ("True", "Remediated")
    assert pools.condition(name, "Stalled")["status"] == "False"
    words = f"{name}-0 ended with {signature}: {field} {before} → {after} (attempt 1 of 6)"
    assert pools.events(name, event) == [words]
    healed = pools.condition(name, "Ready")["lastTransitionTime"]
    record_property("seconds from crash to Ready", pools.seconds(record["time"], healed))


def test_what_is_changed_reaches_the_servers_pod(pools):
    pools.until_ready("shortened")
    pools.until_ready("fattened")
    (short,), (fat,) = pools.pods("shortened"), pools.pods("fattened")
    words = short["spec"]["containers"][0]["command"]
    assert ("--max-model-len", "32256") in pairwise(words)
    assert pools.status("shortened")["served"]["maxModelLen"] == 32256
    resources = fat["spec"]["containers"][0]["resources"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"] == "288Mi"


def test_a_retry_keeps_the_pod_and_its_settings(pools):
    status = pools.until_ready("raced")
    (pod,) = pools.pods("raced")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
    assert status["effective"]["gpuMemoryUtilization"] == 90


@pytest.mark.parametrize("name", ADVISED)
def test_what_no_remedy_cures_ends_stalled_with_advice(pools, name):
    _, signature, reason, advice, retries = ADVISED[name]
    status = pools.until_reason(name, reason)
    stalled, ready, fit = (pools.condition(name, t) for t in ("Stalled", "Ready", "MemoryFit"))
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    assert (ready["status"], fit["status"], fit["reason"]) == ("False", "False", reason)
    assert f"{name}-0 ended with {signature}" in stalled["message"]
    assert advice in stalled["message"]
    assert [(r["signature"], r["field"]) for r in status.get("remediations", [])] == [(signature, "restart")] * retries
    assert status["effective"]["gpuMemoryUtilization"] == 90, "what does not help is not tried"
    assert [advice in note for note in pools.events(name, reason)] == [True]
