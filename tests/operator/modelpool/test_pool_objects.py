"""A pool's manifests: the sample's in a golden file, and what single fields of a spec change in them."""

import pytest

from toolorch_api.modelpool_status import Effective, InstanceState
from toolorch_operator.modelpool.command import fraction_text, parse_utilization, serve_command
from toolorch_operator.modelpool.external.external import external_replica
from toolorch_operator.modelpool.instances import Replica, instance_names, service_url
from toolorch_operator.modelpool.memory.climb import initial_effective
from toolorch_operator.modelpool.objects import build_objects, build_template
from toolorch_operator.modelpool.observed import ObservedPool

FULL = {
    "revision": "main",
    "servedModelName": "big",
    "image": "vllm/vllm-openai:v0.33.0",
    "tensorParallelSize": 2,
    "gpuMemoryUtilization": 95,
    "maxModelLen": 32768,
    "maxNumSeqs": 64,
    "maxNumBatchedTokens": 8192,
    "toolCalling": {"parser": "hermes", "chatTemplate": {"configMapKeyRef": {"name": "templates", "key": "big.jinja"}}},
    "reasoningParser": "qwen3",
    "extraArgs": ["--async-scheduling"],
    "env": [
        {"name": "HOME", "value": "/elsewhere"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "t"}}},
    ],
    "resources": {"cpu": "8", "memory": "64Gi", "sharedMemory": "4Gi"},
    "placement": {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "gpuProducts": ["NVIDIA-H100-80GB-HBM3"],
    },
    "startup": {"timeoutSeconds": 600},
    "cache": {"persistentVolumeClaim": "models"},
}  # fmt: skip


def objects_of(pool, defaults):
    return objects_at(pool, initial_effective(pool.spec), defaults)


def objects_at(pool, effective, defaults):
    replicas = [
        Replica(name, service_url(pool, name), InstanceState.STARTING, node="node-a", runs=True)
        for name in instance_names(pool)
    ]
    if pool.spec.external is not None:
        replicas = [external_replica(pool, pool.spec.external.base_url, ObservedPool())]
    return build_objects(pool, build_template(pool, effective, defaults), replicas, (), defaults)


def pod_spec(pool, defaults):
    return objects_of(pool, defaults)[-1]["spec"]["template"]["spec"]


@pytest.mark.parametrize(("name", "spec"), [("small", {"replicas": 2}), ("big", FULL)])
def test_all_children_are_as_in_the_golden_file(golden, pool_of, defaults, name, spec):
    golden(f"pool-{name}.json", objects_of(pool_of(name, **spec), defaults))


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("vllm", "Always"),
        ("host:5000/vllm", "Always"),
        ("host:5000/vllm:latest", "Always"),
        ("host:5000/vllm:1", None),
        ("vllm@sha256:" + "5" * 64, None),
    ],
)
def test_an_image_that_can_move_is_pulled_each_time_also_when_it_takes_the_place_of_one_that_cannot(
    pool_of, defaults, image, policy
):
    assert pod_spec(pool_of(image=image), defaults)["containers"][0].get("imagePullPolicy") == policy


def test_a_remediation_changes_nothing_but_the_argument(pool_of, defaults):
    pool = pool_of(gpuMemoryUtilization=95)
    before, after = (
        objects_at(pool, Effective(gpu_memory_utilization=percent), defaults)[-1]["spec"]["template"]
        for percent in (95, 90)
    )
    command = before["spec"]["containers"][0]["command"]
    command[command.index("0.95")] = "0.90"
    assert before.pop("metadata") != after.pop("metadata")
    assert before == after


def test_scaling_changes_no_pod(pool_of, defaults):
    one, many = (objects_of(pool_of(replicas=n, generation=n), defaults) for n in (1, 5))
    assert one[-1]["spec"]["template"] == many[-5]["spec"]["template"]


@pytest.mark.parametrize(
    ("resources", "gpus"),
    [
        pytest.param({}, {"nvidia.com/gpu": "1"}, id="one per tensor-parallel rank"),
        pytest.param({"gpus": 4}, {"nvidia.com/gpu": "4"}, id="as many as the spec says"),
        pytest.param({"gpuResource": "amd.com/gpu"}, {"amd.com/gpu": "1"}, id="of another vendor"),
        pytest.param({"gpuResource": ""}, {}, id="none"),
    ],
)
def test_gpus_are_limits_and_requests_alike(pool_of, defaults, resources, gpus):
    stated = pod_spec(pool_of(resources=resources), defaults)["containers"][0]["resources"]
    assert stated["limits"] == {"memory": "32Gi", **gpus}
    assert stated["requests"] == {"cpu": "4", "memory": "32Gi", **gpus}


@pytest.mark.parametrize(
    ("cache", "source"),
    [
        (None, {"emptyDir": {}}),
        ({"hostPath": "/models"}, {"hostPath": {"path": "/models", "type": "Directory"}}),
        ({"persistentVolumeClaim": "m"}, {"persistentVolumeClaim": {"claimName": "m"}}),
    ],
)
def test_where_weights_are_kept(pool_of, defaults, cache, source):
    spec = {} if cache is None else {"cache": cache}
    volumes = pod_spec(pool_of(**spec), defaults)["volumes"]
    assert {"name": "cache", **source} in volumes


def test_variables_of_the_spec_win_and_no_name_is_there_twice(pool_of, defaults):
    env = pod_spec(pool_of("big", **FULL), defaults)["containers"][0]["env"]
    names = [e["name"] for e in env]
    assert len(names) == len(set(names))
    assert {"name": "HOME", "value": "/elsewhere"} in env


def test_the_same_command_serves_on_a_users_machine(pool_of):
    pool = pool_of("p", **(FULL | {"toolCalling": None}))
    command = serve_command(pool.spec, initial_effective(pool.spec), port=8123, host="127.0.0.1")
    assert command[:5] == ["vllm", "serve", "mock/oracle", "--port", "8123"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[-1] == "--async-scheduling"
    assert "--enable-auto-tool-choice" not in command


@pytest.mark.parametrize(("percent", "text"), [(1, "0.01"), (85, "0.85"), (95, "0.95"), (100, "1.00")])
def test_percent_becomes_the_fraction_that_vllm_reads_and_back(percent, text):
    assert fraction_text(percent) == text
    assert parse_utilization(["vllm", "--gpu-memory-utilization", text]) == percent


@pytest.mark.parametrize("command", [[], ["--gpu-memory-utilization"], ["--gpu-memory-utilization", "high"]])
def test_a_command_without_utilization_tells_none(command):
    assert parse_utilization(command) is None
