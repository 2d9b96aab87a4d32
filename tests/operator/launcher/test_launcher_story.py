"""The launcher reads what model servers print: phases, classes, numbers, whatever way the text arrives."""

import ast
import json

import pytest

from toolorch_operator import programs
from toolorch_operator.programs import launcher
from toolorch_operator.programs.crash_story import Story

LOADED = b"INFO Starting to load model m\nINFO Model loading took 3 GiB\n"
SIZED = LOADED + b"INFO Available KV cache memory: 66.34 GiB\n"
SERVING = SIZED + b"INFO Application startup complete.\n"
OOM = (
    b"(Worker_TP1 pid=9) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    b" GPU 0 has a total capacity of 79.10 GiB of which 12.50 MiB is free.\n"
)


def read(output, command=("vllm",)):
    story = Story(list(command))
    story.feed(1, output)
    story.feed(1, b"")
    return story


@pytest.mark.parametrize(
    ("output", "class_", "exit_code"),
    [
        pytest.param(b"INFO Starting to load model\n" + OOM, "LOAD_OOM", 81, id="while weights are loaded"),
        pytest.param(LOADED + OOM, "PROFILE_OOM", 82, id="while memory is profiled"),
        pytest.param(SIZED + OOM, "CAPTURE_OOM", 85, id="while graphs are captured"),
        pytest.param(SERVING + OOM, "RUN_OOM", 86, id="while it serves"),
        pytest.param(
            b"ERROR EngineCore encountered a fatal error.\n" + OOM, "RUN_OOM", 86, id="the engine says that it served"
        ),
        pytest.param(b'File "m.py", line 1, in load_model\n' + OOM, "LOAD_OOM", 81, id="a frame tells of loading"),
        pytest.param(b'File "m.py", line 1, in profile_run\n' + OOM, "PROFILE_OOM", 82, id="a frame tells of profiles"),
        pytest.param(b'File "m.py", line 1, in capture_model\n' + OOM, "CAPTURE_OOM", 85, id="a frame tells of graphs"),
        pytest.param(OOM, "CUDA_OOM", 90, id="nothing tells when"),
        pytest.param(SIZED + b"RuntimeError: CUDA error: out of memory\n", "CAPTURE_OOM", 85, id="CUDA's own words"),
        pytest.param(SIZED + b"CUBLAS_STATUS_ALLOC_FAILED\n", "CAPTURE_OOM", 85, id="cuBLAS cannot allocate"),
        pytest.param(SIZED + b"Cuda failure 2 'out of memory'\n", "CAPTURE_OOM", 85, id="NCCL cannot allocate"),
    ],
)
def test_cuda_out_of_memory_is_told_apart_by_phase_when(output, class_, exit_code):
    story = read(output)
    assert (story.name, story.code) == (class_, exit_code)


@pytest.mark.parametrize(
    ("line", "class_", "exit_code", "numbers"),
    [
        pytest.param(
            b"ValueError: Free memory on device cuda:0 (19.77/22.05 GiB) on startup is less than desired GPU memory"
            b" utilization (0.9, 19.84 GiB). Decrease GPU memory utilization",
            "FREE_LT",
            80,
            {"free": 19.77, "total": 22.05, "gmu": 0.9, "want": 19.84},
            id="another program holds the GPU",
        ),
        pytest.param(
            b"ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is"
            b" needed, which is larger than the available KV cache memory (7.43 GiB). Based on the available memory,"
            b" the estimated maximum model length is 60832. Try",
            "KV_SMALL",
            84,
            {"mml": 131072, "need": 16.0, "avail": 7.43, "est": 60832},
            id="one request does not fit",
        ),
        pytest.param(
            b"models's max seq len (4096), (1.0 GiB KV cache is needed, which is larger than the available KV cache"
            b" memory (0.5 GiB). Based on the available memory,  Try",
            "KV_SMALL",
            84,
            {"mml": 4096, "need": 1.0, "avail": 0.5},
            id="one request does not fit and the estimate is lost",
        ),
        pytest.param(
            b"The model's max seq len (4096) is larger than the maximum number of tokens that can be stored in KV cache"
            b" (3664). Try",
            "KV_SMALL_V0",
            84,
            {"mml": 4096, "est": 3664},
            id="one request does not fit an old engine",
        ),
        pytest.param(b"ValueError: No available memory for the cache blocks. Try", "KV_NONE", 83, {}, id="no cache"),
        pytest.param(b"AssertionError: Error in memory profiling. Initial", "RACE", 87, {}, id="a race"),
        pytest.param(b"Worker proc W died unexpectedly (exit code: -9), shut", "HOST_OOM", 89, {}, id="killed worker"),
        pytest.param(b"Failed core proc(s): {'EngineCore_DP0': -9}", "HOST_OOM", 89, {}, id="a killed engine"),
        pytest.param(
            b"Error while creating shared memory segment /dev/shm/nccl-x (size 9637888)", "SHM", 88, {}, id="/dev/shm"
        ),
    ],
)
def test_other_causes_have_classes_of_their_own(line, class_, exit_code, numbers):
    story = read(SIZED + OOM + b"(EngineCore_DP0 pid=7) " + line + b"\n" if class_ != "HOST_OOM" else line)
    assert (story.name, story.code) == (class_, exit_code)
    assert {k: v for k, v in story.fields.items() if k not in ("msg", "phase")} == numbers


@pytest.mark.parametrize(
    "line",
    [
        b"INFO Free memory on device (70.1/79.1 GiB) on startup. Desired GPU memory utilization is (0.9, 71.2 GiB).",
        b"ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
        b"OSError: [Errno 28] No space left on device",
        b"triton.runtime.errors.OutOfResources: out of resource: shared memory",
        b"RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'E': 1}",
    ],
)
def test_what_only_looks_like_a_cause_is_none(line):
    assert read(SERVING + line).name == "NONE"


SAMPLER = b"RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try\n"
FREE_LT = (
    b"ValueError: Free memory on device (1.0/2.0 GiB) on startup is less than desired GPU memory utilization (0.9, 1.8"
)
KV_NONE = b"ValueError: No available memory for the cache blocks. Try increasing\n"
RACE = b"AssertionError: Error in memory profiling. Initial free memory 58.23 GiB, current free memory 59.34 GiB.\n"


@pytest.mark.parametrize(
    ("output", "class_", "exit_code"),
    [
        pytest.param(OOM + SAMPLER + OOM, "SAMPLER_OOM", 82, id="a specific text stands between general ones"),
        pytest.param(SIZED + SAMPLER, "SAMPLER_OOM", 85, id="the cache was there, so that less of it helps as well"),
        pytest.param(
            KV_NONE + FREE_LT + b" GiB)\n", "FREE_LT", 80, id="one rank has no room and another no free memory"
        ),
        pytest.param(RACE + KV_NONE + OOM, "KV_NONE", 83, id="one rank met a race and another has no room"),
        pytest.param(
            OOM + b"Failed core proc(s): {'E': -9}\n", "CUDA_OOM", 90, id="a worker is killed after its error"
        ),
    ],
)
def test_of_several_causes_the_most_telling_is_kept_when(output, class_, exit_code):
    story = read(output)
    assert (story.name, story.code) == (class_, exit_code)


def test_the_first_of_equal_causes_is_kept():
    story = read(SIZED + OOM + SERVING + OOM.replace(b"2.00", b"9.00"))
    assert story.name == "CAPTURE_OOM"
    assert "2.00 GiB" in story.fields["msg"]


@pytest.mark.parametrize("size", [1, 7, 64])
def test_text_may_arrive_in_pieces(size):
    story = Story([])
    text = SIZED + OOM
    for start in range(0, len(text), size):
        story.feed(1, text[start : start + size])
        story.feed(2, b"noise on the other stream\n")
    assert story.name == "CAPTURE_OOM"


def test_a_cause_without_line_end_is_read_at_the_end():
    assert read(SIZED + OOM.rstrip()).name == "CAPTURE_OOM"


def test_what_is_said_after_the_order_to_stop_is_no_cause():
    story = Story([])
    story.feed(1, SERVING)
    story.is_stopping = True
    story.feed(1, OOM)
    assert story.name == "NONE"


@pytest.mark.parametrize(
    "command",
    [["vllm", "serve", "m", "--gpu-memory-utilization", "0.95"], ["vllm", "--gpu-memory-utilization=0.95"]],
)
def test_the_report_knows_what_the_server_was_started_with(command):
    assert read(SIZED + OOM, command).fields["gmu"] == 0.95


def test_a_report_is_cut_to_what_the_kubelet_reads(tmp_path):
    story = read(SIZED + OOM.rstrip() + "ä€𝄞".encode() * 5000)
    launcher.write_report(story, str(tmp_path / "log"))
    text = (tmp_path / "log").read_bytes()
    assert len(text) <= 4096
    report = json.loads(text)
    assert (report["class"], report["phase"], report["v"]) == ("CAPTURE_OOM", "P3", 1)
    assert report["msg"].startswith("(Worker_TP1 pid=9) torch.OutOfMemoryError")


@pytest.mark.parametrize("name", programs.sources())
def test_its_grammar_is_that_of_python_3_8(name):
    ast.parse(programs.sources()[name], feature_version=(3, 8))
