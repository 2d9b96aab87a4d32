"""What the machine must give to the pools, and the sentences where it does not."""

import os
from types import SimpleNamespace

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.gpus import allot_gpus, list_gpus
from toolorch_evaluator.cli.machine import furnish, is_mock, point_elsewhere
from toolorch_evaluator.cli.references import References

NO_GPU = {"gpuResource": ""}
KEY = {"name": "openai", "key": "apiKey"}
OUTSIDE = {"engine": "external", "external": {"baseURL": "https://example.com/v1", "apiKeySecretRef": KEY}}


@pytest.fixture
def pool(documents):
    def pool(name="agent", **spec):
        return ModelPool.model_validate(documents.pool(name, **spec))

    return pool


@pytest.fixture
def furnished(tmp_path):
    """Furnish pools in an environment whose PATH has a vllm, and perhaps an nvidia-smi that knows n GPUs."""

    def furnished(*pools, keys=None, references=None, gpus=None, vllm=True, **environ):
        programs = tmp_path / "bin"
        programs.mkdir(exist_ok=True)
        if vllm:
            executable(programs / "vllm", "")
        if gpus is not None:
            executable(programs / "nvidia-smi", "\n".join(f"echo 'GPU {i}: NVIDIA (UUID: x)'" for i in range(gpus)))
        named = {p.metadata.name: p for p in pools}
        path = f"{programs}{os.pathsep}/bin{os.pathsep}/usr/bin"
        return furnish(named, References(references or {}), keys or {}, tmp_path, {"PATH": path, **environ})

    return furnished


def executable(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def refusal(call, *arguments, **named):
    with pytest.raises(BadInputError) as refused:
        call(*arguments, **named)
    return str(refused.value)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("toolorch/mock-vllm:dev", True),
        ("registry:5000/team/mock-vllm", True),
        ("mock-vllm@sha256:0", True),
        ("vllm/vllm-openai:v0.33.0", False),
        ("team/not-mock-vllm:1", False),
        (None, False),
    ],
)
def test_the_mock_is_known_by_its_repository(pool, image, expected):
    assert is_mock(pool(image=image)) is expected


def test_the_mock_brings_its_executable_and_takes_no_gpu(pool, furnished, tmp_path):
    machine = furnished(pool(image="toolorch/mock-vllm:dev"), gpus=0, vllm=False)
    assert machine.environments["agent"]["PATH"].startswith(f"{tmp_path / 'mock'}{os.pathsep}")
    assert machine.gpus == {}


def test_a_missing_vllm_is_said_with_two_ways_out(pool, furnished):
    sentence = refusal(furnished, pool(), gpus=1, vllm=False)
    assert sentence.startswith("pool agent: no vllm in PATH: install it (pip install 'toolorch[vllm]'), or")
    assert "--endpoint agent=URL" in sentence


def test_each_replica_gets_its_own_gpus(pool, furnished):
    machine = furnished(pool("a", replicas=2, tensorParallelSize=2), pool("b"), gpus=5)
    assert machine.gpus == {"a-0": ["0", "1"], "a-1": ["2", "3"], "b-0": ["4"]}


def test_gpus_that_are_hidden_stay_hidden(pool, furnished):
    assert furnished(pool(), gpus=8, CUDA_VISIBLE_DEVICES="5,6").gpus == {"agent-0": ["5"]}
    assert list_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_too_few_gpus_are_refused_with_the_numbers(pool):
    sentence = refusal(allot_gpus, [pool("a", replicas=2), pool("b")], ["0"])
    assert sentence.startswith("the pools need 3 GPUs (a 2, b 1) and this machine has 1. Lower spec.replicas")


def test_a_server_without_gpu_needs_none(pool, furnished):
    assert furnished(pool(resources=NO_GPU), gpus=0).gpus == {}


def test_environment_comes_from_the_spec_the_files_and_this_environment(pool, furnished):
    secret = {"valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    given = pool(resources=NO_GPU, env=[{"name": "A", "value": "1"}, {"name": "HF_TOKEN", **secret}])
    texts = {("Secret", "default", "hub", "token"): "from a file"}
    assert furnished(given, references=texts).environments["agent"]["HF_TOKEN"] == "from a file"
    environment = furnished(given, HF_TOKEN="from here").environments["agent"]
    assert (environment["A"], environment["HF_TOKEN"]) == ("1", "from here")
    assert "set the environment variable HF_TOKEN" in refusal(furnished, given)


def test_a_chat_template_is_taken_from_the_files(pool, furnished):
    template = {"configMapKeyRef": {"name": "t", "key": "k"}}
    given = pool(resources=NO_GPU, toolCalling={"parser": "hermes", "chatTemplate": template})
    texts = {("ConfigMap", "default", "t", "k"): "{{ messages }}"}
    assert furnished(given, references=texts).templates == {"agent": "{{ messages }}"}
    assert "there is no ConfigMap t with key k in the files" in refusal(furnished, given)


def test_an_external_pool_takes_its_key_from_a_variable_or_the_files(pool, furnished):
    outside = pool(toolCalling=None, **OUTSIDE)
    assert furnished(outside, keys={"agent": "MY_KEY"}, MY_KEY="k").keys == {"agent": "k"}
    assert furnished(outside, references={("Secret", "default", "openai", "apiKey"): "f"}).keys == {"agent": "f"}
    assert "--api-key agent=VARIABLE" in refusal(furnished, outside)
    assert "the environment variable MY_KEY of pool agent is not set" in refusal(
        furnished, outside, keys={"agent": "MY_KEY"}
    )


def test_a_server_that_runs_already_needs_nothing_of_this_machine(pool, furnished):
    pools = point_elsewhere({"agent": pool()}, {"agent": "http://127.0.0.1:8000/v1/"})
    assert pools["agent"].spec.external.base_url == "http://127.0.0.1:8000/v1"
    machine = furnished(*pools.values(), vllm=False)
    assert SimpleNamespace(keys=machine.keys, gpus=machine.gpus) == SimpleNamespace(keys={"agent": "EMPTY"}, gpus={})


@pytest.mark.parametrize(
    ("endpoints", "says"),
    [
        ({"agnet": "http://x/v1"}, "--endpoint: the run has no pool agnet; its pools are agent"),
        ({"agent": "x:8000"}, "--endpoint: x:8000 must be an OpenAI base URL such as http://127.0.0.1:8000/v1"),
    ],
)
def test_a_wrong_endpoint_is_refused(pool, endpoints, says):
    assert refusal(point_elsewhere, {"agent": pool()}, endpoints) == says
