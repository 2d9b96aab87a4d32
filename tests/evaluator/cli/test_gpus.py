"""Which GPUs this machine has, and which replica gets which."""

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.gpus import allot_gpus, list_gpus

SLICED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-a)
  MIG 3g.20gb     Device  0: (UUID: MIG-a0)
  MIG 3g.20gb     Device  1: (UUID: MIG-a1)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-b)"""


@pytest.fixture
def pool(documents):
    def pool(name, replicas=1, tensor_parallel_size=1, **resources):
        size = {"replicas": replicas, "tensorParallelSize": tensor_parallel_size, "resources": resources}
        return ModelPool.model_validate(documents.pool(name, **size))

    return pool


@pytest.mark.parametrize(
    ("variable", "gpus"),
    [
        ("0,1", ["0", "1"]),
        (" 5 , 6 ", ["5", "6"]),
        ("GPU-7f3a,GPU-11", ["GPU-7f3a", "GPU-11"]),
        ("MIG-a0,MIG-a1", ["MIG-a0", "MIG-a1"]),
        ("0,-1,1", ["0"]),
        ("2,2", ["2"]),
        ("", []),
        ("void", []),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(variable, gpus):
    assert list_gpus({"CUDA_VISIBLE_DEVICES": variable}) == gpus


def test_a_sliced_gpu_is_listed_as_its_slices(tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{SLICED}\nEND\n")
    program.chmod(0o755)
    assert list_gpus({"PATH": str(tmp_path)}) == ["MIG-a0", "MIG-a1", "1"]


def test_a_replica_gets_what_resources_say_even_beyond_tensor_parallelism(pool):
    assert allot_gpus([pool("a", gpus=2), pool("b")], ["0", "1", "2"]) == {"a-0": ["0", "1"], "b-0": ["2"]}


def test_replicas_of_several_gpus_get_whole_ones(pool):
    pools = [pool("small", replicas=2), pool("big", tensor_parallel_size=2)]
    allotted = allot_gpus(pools, ["MIG-a0", "1", "MIG-a1", "2"])
    assert allotted == {"big-0": ["1", "2"], "small-0": ["MIG-a0"], "small-1": ["MIG-a1"]}


def test_servers_that_run_already_keep_their_gpus(pool):
    allotted = allot_gpus([pool("a", replicas=2), pool("b")], ["0", "1", "2"], {"a-0": ["1"]}, {})
    assert allotted == {"a-0": ["1"], "a-1": ["0"], "b-0": ["2"]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param({"gpus": ["0"]}, "need 2 GPUs (a 2) and this machine has 1.", id="too few"),
        pytest.param(
            {"gpus": ["0", "1"], "held": {"1": "judge-0", "7": "far-0"}},
            "has 1 free, 1 being held by kept servers (judge-0): toolorch servers stop ends them.",
            id="held by a kept server",
        ),
        pytest.param({"gpus": ["0", "MIG-a"]}, "need 2 (a 2) and this machine has 1: of its 2", id="slices"),
    ],
)
def test_what_is_missing_is_said_with_numbers(pool, given, says):
    with pytest.raises(BadInputError) as refused:
        allot_gpus([pool("a", tensor_parallel_size=2)], **given)
    assert says in str(refused.value)
