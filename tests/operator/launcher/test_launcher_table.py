"""Every class of crash in the words of four generations of vLLM, each as that generation's logs reach a reader."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_operator.programs import launcher
from toolorch_operator.programs.crash_story import Story

START = {  # the signs of a start, generation by generation, up to the phase in which a server dies
    "V0": (
        "Starting to load model m...",
        "Loading model weights took 14.9888 GB",
        "# GPU blocks: 2181, # CPU blocks: 4096",
        "init engine (profile, create kv cache, warmup model) took 15.93 seconds",
    ),
    "0.9": (
        "Starting to load model m...",
        "Model loading took 14.9889 GiB and 4.1 seconds",
        "Available KV cache memory: 7.43 GiB",
        "init engine (profile, create kv cache, warmup model) took 41.02 seconds",
    ),
    "0.14": (
        "Starting to load model m...",
        "Model loading took 14.99 GiB memory and 4.1 seconds",
        "Available KV cache memory: -0.85 GiB",
        "Application startup complete.",
    ),
    "0.30": (
        "Loading model from scratch...",
        "Model loading took 14.99 GiB memory and 4.100000 seconds",
        "cuda:0 KV cache size: 1,048,576 tokens, Maximum concurrency for 1,024 tokens per request: 1024.00x",
        "init engine (profile, create kv cache, warmup model) took 1.72 s",
    ),
}


def journal(lines):
    """V0's own prefix, as journald shows it, among a worker's lines."""
    plain = "Jan 20 10:11:12 gpu-1 vllm[812]: INFO 01-20 10:11:12 worker.py:241] {}"
    worker = "Jan 20 10:11:12 gpu-1 vllm[812]: (VllmWorkerProcess pid=231) ERROR 01-20 10:11:12 utils.py:240] {}"
    return "".join(form.format(line) + "\n" for line in lines for form in (plain, worker))


def coloured(lines):
    """A container runtime's time stamps and a worker's coloured name before each piece of a line that broke words."""
    stamp = "2025-08-01T10:11:12.123456789Z stderr F \x1b[1;36m(EngineCore_0 pid=272)\x1b[0;0m "
    text = [f"ERROR 08-01 10:11:12 [core.py:632] {line}" for line in lines]
    return "".join(f"{stamp}{line[at : at + 97]}\n" for line in text for at in range(0, len(line), 97))


def ranks(lines):
    """Two ranks that speak in turn, cut so that the pieces of their sentences alternate."""
    heads = [f"(EngineCore_DP0 pid=274) (Worker_TP{n} pid=30{n}) ERROR 03-11 17:57:59 [x.py:783] " for n in (0, 1)]
    pieces = [line[at : at + 61] for line in lines for at in range(0, len(line), 61)]
    return "".join(f"{head}{piece}\n" for piece in pieces for head in heads)


def terminal(lines):
    """Compose's prefix and a terminal that cuts every line at its width and puts nothing before the rest."""
    text = [f"vllm-1  | (Worker_TP1 pid=29274) ERROR 11-21 14:08:51 [gpu_worker.py:701] {line}" for line in lines]
    return "".join(line[at : at + 80] + "\n" for line in text for at in range(0, len(line), 80))


STYLES = {"V0": journal, "0.9": coloured, "0.14": ranks, "0.30": terminal}

OOM = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 12.50 MiB is"
FREE = {"free": 19.77, "total": 22.05, "gmu": 0.9, "want": 19.84}
LESS = "(19.77/22.05 GiB) on startup is less than desired GPU memory utilization (0.9, 19.84 GiB). Decrease GPU memory"
NEED = (
    "max seq len (131072), (16.0 GiB KV cache is needed, which is larger than the available KV cache memory (7.43 GiB)."
)
SMALL = {"mml": 131072, "need": 16.0, "avail": 7.43}
TOKENS = "max seq len (4096) is larger than the maximum number of tokens that can be stored in KV cache (3664). Try"
AUTOFIT = (
    "Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. Try increasing"
    " `gpu_memory_utilization`."
)
MAMBA = (
    "max_num_seqs (1024) exceeds available Mamba cache blocks (854). Each decode sequence requires one Mamba cache"
    " block, so CUDA graph capture cannot proceed. Please lower max_num_seqs to at most 854 or increase it."
)
WARM = (
    "CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try lowering `max_num_seqs`"
)
RACE = (
    "Error in memory profiling. Initial free memory 58.23 GiB, current free memory 59.34 GiB. This happens when other"
)
EXT = (
    "Externally held weights on device cuda:0 (60.0/79.1 GiB) exceed the desired GPU memory utilization (0.5, 39.55"
    " GiB). Increase GPU memory utilization or reduce GPU memory used by other processes."
)
NODE = "(3.5/16.59 GiB) on kv cache allocation is less than requested memory for kv (8.0 GiB). Decrease"
USES = "The worker already uses 9.1 GiB of memory; increase `--gpu-memory-utilization` to more than 0.62"
FRAMES = 'File "gpu_worker.py", line 256, in {}'
CAPACITY = {"total": 79.1}

# Class, exit code, phase, its own numbers; then by generation: how far the start has come, and the last words.
TABLE = {
    ("FREE_LT", 80, "P0"): (
        (0, [f"ValueError: Free memory on device {LESS}"], FREE),
        (0, [f"RuntimeError: Worker failed with error 'Free memory on device {LESS}'"], FREE),
        (0, [f"ValueError: Free memory on device cuda:0 {LESS}"], FREE),
        (0, ["ValueError: " + f"Free memory on device cuda:0 {LESS}".replace(
            "desired GPU memory utilization", "the engine's budget after excluding external process's weights")], FREE),
    ),
    ("LOAD_OOM", 81, "P1"): (
        (1, [f"torch.cuda.OutOfMemoryError: {OOM}"], CAPACITY),
        (0, [FRAMES.format("load_model"), f"torch.OutOfMemoryError: {OOM}"], CAPACITY),
        (1, [f"torch.OutOfMemoryError: {OOM}", "Failed to load model - not enough GPU memory. Try lowering"
             f" --gpu-memory-utilization to free memory for weights (original error: {OOM})"], {}),
        (1, [f"torch.OutOfMemoryError: {OOM}"], CAPACITY),
    ),
    ("PROFILE_OOM", 82, "P2"): (
        (2, [f"torch.cuda.OutOfMemoryError: {OOM}"], CAPACITY),
        (1, ["Encoder cache will be initialized with a budget of 98304 tokens", "RuntimeError: CUDA error: out of"
             " memory"], {}),
        (0, [FRAMES.format("load_model"), FRAMES.format("profile_run"), f"torch.OutOfMemoryError: {OOM}"], CAPACITY),
        (1, ["Profiling CUDA graph memory: PIECEWISE=51", f"torch.OutOfMemoryError: {OOM}"], CAPACITY),
    ),
    ("SAMPLER_OOM", 82, "P2"): (
        (2, [f"torch.OutOfMemoryError: {OOM}", f"RuntimeError: {WARM}"], {"seqs": 1024}),
        (2, [f"RuntimeError: Worker failed with error '{WARM}'"], {"seqs": 1024}),
        (2, ["RuntimeError: " + WARM.replace("sampler", "pooler (task='embed')")], {"seqs": 1024}),
        (2, [f"torch.OutOfMemoryError: {OOM}", f"RuntimeError: {WARM}", f"RuntimeError: {WARM}"], {"seqs": 1024}),
    ),
    ("KV_NONE", 83, "P2"): (
        (2, ["ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when"
             " initializing the engine."], {}),
        (3, ["Available KV cache memory: -0.85 GiB", "ValueError: No available memory for the cache blocks. Try"], {}),
        (3, ["ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when"
             " initializing the engine (see the docs)."], {}),
        (2, ["ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when"
             " initializing the engine (this flag also controls CPU memory reservation on the CPU backend"], {}),
    ),
    ("KV_SMALL", 84, "P2"): (
        (2, [f"ValueError: To serve at least one request with the models's {NEED} Based on the available memory,"
             "  Try increasing"], SMALL),
        (3, [f"ValueError: To serve at least one request with the models's {NEED} Based on the available memory, the"
             " estimated maximum model length is 60832. Try"], {**SMALL, "est": 60832}),
        (3, [f"ValueError: To serve at least one request with the models's {NEED} Based on the available memory, the"
             " estimated maximum model length is 60832. Try increasing"], {**SMALL, "est": 60832}),
        (2, [f"ValueError: To serve at least one request with the model's {NEED} Try increasing"], SMALL),
    ),
    ("KV_SMALL_V0", 84, "P2"): (
        (2, [f"ValueError: The model's {TOKENS} increasing"], {"mml": 4096, "est": 3664}),
        (2, [f"RuntimeError: Worker failed with error 'The model's {TOKENS}'"], {"mml": 4096, "est": 3664}),
        (0, [FRAMES.format("raise_if_cache_size_invalid"), f"The model's {TOKENS}"], {"mml": 4096, "est": 3664}),
        (3, [f"ValueError: The model's {TOKENS} increasing"] * 3, {"mml": 4096, "est": 3664}),
    ),
    ("AUTOFIT", 83, "P2"): (
        (2, [AUTOFIT], {}),
        (2, [f"RuntimeError: Worker failed with error '{AUTOFIT}'"], {}),
        (3, [f"ValueError: {AUTOFIT}"], {}),
        (0, [f"ValueError: {AUTOFIT}"] * 2, {}),
    ),
    ("MAMBA", 82, "P3"): (
        (3, [MAMBA], {"seqs": 854}),
        (3, [f"RuntimeError: Worker failed with error '{MAMBA}'"], {"seqs": 854}),
        (3, [f"ValueError: {MAMBA}"], {"seqs": 854}),
        (0, [f"ValueError: {MAMBA}"] * 2, {"seqs": 854}),
    ),
    ("CAPTURE_OOM", 85, "P3"): (
        (2, ["Capturing the model for CUDA graphs. This may lead to unexpected consequences", "torch.cuda."
             f"OutOfMemoryError: {OOM}"], CAPACITY),
        (3, ["RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"], {}),
        (3, ["NCCL WARN Cuda failure 2 'out of memory'", "ncclUnhandledCudaError: Call to CUDA function failed."], {}),
        (3, ["CUDA Error: out of memory at /workspace/csrc/cumem_allocator.cpp:62"], {}),
    ),
    ("RUN_OOM", 86, "P4"): (
        (0, [f"torch.cuda.OutOfMemoryError: {OOM}", "MQEngineDeadError: Engine loop is not running."], CAPACITY),
        (4, ["EngineCore encountered a fatal error.", f"torch.OutOfMemoryError: {OOM}"], CAPACITY),
        (0, ["EngineCore encountered a fatal error.", f"torch.OutOfMemoryError: {OOM}", "EngineDeadError: EngineCore"
             " encountered an issue. See stack trace (above) for the root cause."], CAPACITY),
        (4, ["RuntimeError: NCCL WARN Cuda failure 'out of memory'"], {}),
    ),
    ("RACE", 87, "P2"): (
        (2, ["AssertionError: Error in memory profiling. Initial free memory 39909924864, current free memory"
             " 47541829632. This happens when the NPU memory was not properly cleaned up"],
         {"free": 37.17, "avail": 44.28}),
        (2, [f"AssertionError: {RACE}"], {"free": 58.23, "avail": 59.34}),
        (2, [f"AssertionError: {RACE}"], {"free": 58.23, "avail": 59.34}),
        (0, [f"AssertionError: {RACE}"] * 2, {"free": 58.23, "avail": 59.34}),
    ),
    ("EXT", 83, "P0"): (
        (0, [EXT], {"total": 79.1, "gmu": 0.5, "want": 39.55}),
        (0, [f"ValueError: {EXT}"], {"total": 79.1, "gmu": 0.5, "want": 39.55}),
        (0, [f"RuntimeError: Worker failed with error '{EXT}'"], {"total": 79.1, "gmu": 0.5, "want": 39.55}),
        (0, [f"ValueError: {EXT}"] * 3, {"total": 79.1, "gmu": 0.5, "want": 39.55}),
    ),
    ("CPU", 83, "P1"): (
        (1, ["ValueError: Not enough space for the cache: increase VLLM_CPU_KVCACHE_SPACE"], {}),
        (1, [f"ValueError: Available memory on node 0 {NODE}"], {"free": 3.5, "total": 16.59}),
        (1, [f"RuntimeError: Worker failed with error 'Available memory on node 0 {NODE}'"],
         {"free": 3.5, "total": 16.59}),
        (1, [f"ValueError: {USES}"], {"need": 0.62}),
    ),
    ("HOST_OOM", 89, "P1"): (
        (1, ["Worker VllmWorkerProcess pid 231 died, exit code: -9", "ChildProcessError: worker died"], {}),
        (1, ["Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor."], {}),
        (1, ["Worker proc VllmWorker-1 died unexpectedly, shutting down executor.", "RuntimeError: Engine core"
             " initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': -9}"], {}),
        (1, ["RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s):"
             " {'EngineCore_DP0': 1, 'EngineCore_DP1': -9}"], {}),
    ),
    ("SHM", 88, "P1"): (
        (1, ["NCCL WARN Error while creating shared memory segment /dev/shm/nccl-Xq2bZ1 (size 9637888)"], {}),
        (1, ["NCCL WARN Error: failed to extend /dev/shm/nccl-KVrmPL to 33030532 bytes, error: No space left on device"
             " (28)"], {}),
        (1, ["OSError: [Errno 28] No space left on device: '/dev/shm/psm_1b2c'"], {}),
        (1, ["Worker proc VllmWorker-1 died unexpectedly (exit code: -7), shutting down executor."], {}),
    ),
    ("CUDA_OOM", 90, None): (
        (0, [f"torch.cuda.OutOfMemoryError: {OOM}"], CAPACITY),
        (0, [f"torch.OutOfMemoryError: {OOM}"], CAPACITY),
        (0, ["RuntimeError: CUDA error: out of memory"], {}),
        (0, [FRAMES.format("forward"), f"torch.OutOfMemoryError: {OOM}"], CAPACITY),
    ),
}  # fmt: skip

CASES = [
    pytest.param(style, [*START[style][:reached], *words], class_, code, phase, numbers, id=f"{class_} of {style}")
    for (class_, code, phase), rows in TABLE.items()
    for style, (reached, words, numbers) in zip(STYLES, rows, strict=True)
]


def test_the_table_is_whole():
    assert len(CASES) == 17 * 4


@pytest.mark.parametrize(("style", "lines", "class_", "code", "phase", "numbers"), CASES)
@pytest.mark.parametrize("size", [1 << 20, 113], ids=["at once", "in pieces"])
def test_the_last_words_have_a_class(style, lines, class_, code, phase, numbers, size):
    wraps = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'E': 1}"
    output = STYLES[style](["Using max model len 4096", *lines, wraps, "leaked shared_memory objects"]).encode()
    story = Story(["vllm"])
    for at in range(0, len(output), size):
        story.feed(2, output[at : at + size])
    story.feed(2, b"")
    report = story.report()
    assert (report.pop("v"), report.pop("class"), story.code) == (1, class_, code)
    assert report.pop("phase", None) == phase
    assert report.pop("msg")
    assert report == numbers


@pytest.mark.parametrize(("class_", "words"), [(key[0], row[1]) for key, rows in TABLE.items() for row in rows])
def test_the_words_are_heard_among_those_of_a_server_that_serves(class_, words):
    story = Story(["vllm"])
    story.feed(1, b"INFO Application startup complete.\n" + b"INFO answered\n" * 1000)
    for line in words:
        story.feed(1, line.encode() + b"\n")
    is_general = class_ in ("LOAD_OOM", "PROFILE_OOM", "CAPTURE_OOM", "CUDA_OOM") and "Failed to load" not in words[-1]
    assert story.name == ("RUN_OOM" if is_general else class_)


@pytest.mark.parametrize(
    ("line", "phase"),
    [(line, phase) for signs in START.values() for phase, line in enumerate(signs, start=1)]
    + [
        ("Encoder cache will be initialized with a budget of 98304 tokens", 2),
        ("Profiling CUDA graph memory: PIECEWISE=51", 2),
        ("Memory profiling takes 1.20 seconds", 3),
        ("Capturing the model for CUDA graphs.", 3),
        ("Explicitly set (1.0/16.59) GiB for KV cache on node 0.", 3),
        ("EngineCore encountered a fatal error.", 4),
        ("MQEngineDeadError: Engine loop is not running.", 4),
        ("MQLLMEngine is already dead, terminating server process", 4),
    ],
)
def test_each_sign_of_a_start_is_seen_by_itself(line, phase):
    story = Story(["vllm"])
    story.feed(1, f"(EngineCore pid=7) INFO 11-21 14:08:52 [core.py:402] {line}\n".encode())
    assert story.phase == phase


SCRAPS = [word.encode() for rows in TABLE.values() for row in rows for line in row[1] for word in line.split(" ")]
NOISE = [b"\n", b" ", b"\t", b"\r\n", b"\x1b[0m", b"\x00\xff", b"(Worker_TP1 pid=3) ", b"a | ", b"9" * 400, b"x" * 5000]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(SCRAPS + NOISE * 20) | st.binary(max_size=9), max_size=60))
def test_no_output_disturbs_the_reader_and_its_report_is_always_short_enough(tmp_path_factory, chunks):
    story = Story(["vllm", "--gpu-memory-utilization", "0.9"])
    for chunk in chunks:
        story.feed(1, chunk)
    story.feed(1, b"")
    word = tmp_path_factory.getbasetemp() / "word"
    launcher.write_report(story, str(word))
    assert json.loads(word.read_text())["class"] == story.name
    assert len(word.read_bytes()) <= 4096
