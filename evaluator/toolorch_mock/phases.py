"""The start of a server as its log tells it: lines of each phase in vLLM's form, and the deaths on the way.

A line is prefixed by the process that prints it; the engine core is a process of its own there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from toolorch_mock.arguments import VERSION, ServeOptions
from toolorch_mock.faults import FaultSettings

# The pretended GPU (GiB) and weights: numbers only need to fit together.
TOTAL_GIB = 79.25
WEIGHTS_GIB = 15.27
_ACTIVATIONS_GIB = 1.9
_KV_BYTES_PER_TOKEN = 147456
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Line:
    """One log line: after which share of the start time it comes, who prints it, where, and what."""

    at: float
    origin: str
    source: str
    text: str
    level: str = "INFO"


def kv_cache_gib(options: ServeOptions) -> float:
    """Return the memory left for the KV cache at this utilization."""
    return TOTAL_GIB * options.utilization - WEIGHTS_GIB / options.tensor_parallel_size - _ACTIVATIONS_GIB


def start_lines(options: ServeOptions) -> Iterator[Line]:
    """Yield the lines up to the capture of CUDA graphs, where an engine with too much memory dies."""
    weights = WEIGHTS_GIB / options.tensor_parallel_size
    kv_cache = kv_cache_gib(options)
    tokens = int(kv_cache * _GIB / _KV_BYTES_PER_TOKEN)
    api, engine = "APIServer", "EngineCore_DP0"
    yield Line(0.0, api, "api_server.py:1272", f"vLLM API server version {VERSION}")
    yield Line(0.0, api, "model.py:1661", f"Using max model len {options.max_model_len}")
    yield Line(0.1, engine, "core.py:96", f"Initializing a V1 LLM engine (v{VERSION}) with model={options.model!r}")
    yield Line(0.2, engine, "gpu_model_runner.py:3808", f"Starting to load model {options.model}...")
    yield Line(0.5, engine, "gpu_model_runner.py:3905", f"Model loading took {weights:.4f} GiB memory and 1.2 seconds")
    yield Line(0.7, engine, "gpu_worker.py:358", f"Available KV cache memory: {kv_cache:.2f} GiB")
    yield Line(0.7, engine, "kv_cache_utils.py:1305", f"GPU KV cache size: {tokens:,} tokens")
    concurrency = tokens / options.max_model_len
    text = f"Maximum concurrency for {options.max_model_len:,} tokens per request: {concurrency:.2f}x"
    yield Line(0.7, engine, "kv_cache_utils.py:1310", text)
    if not options.enforce_eager:
        text = "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):   0%|          | 0/51 [00:00<?, ?it/s]"
        yield Line(0.8, engine, "", text)


def ready_lines(options: ServeOptions) -> Iterator[Line]:
    """Yield the lines from the captured graphs to the open port."""
    api, engine = "APIServer", "EngineCore_DP0"
    if not options.enforce_eager:
        text = "Graph capturing finished in 1 secs, took 0.61 GiB"
        yield Line(0.9, engine, "gpu_model_runner.py:4856", text)
    text = "init engine (profile, create kv cache, warmup model) took 2.10 seconds"
    yield Line(0.95, engine, "core.py:273", text)
    yield Line(1.0, api, "api_server.py:1014", "Supported tasks: ['generate']")
    address = f"http://{options.host}:{options.port}"
    yield Line(1.0, api, "api_server.py:1346", f"Starting vLLM API server 0 on {address}")


def render(line: Line, pid: int, now: datetime) -> str:
    """Render a line as vLLM's logger does; one without a source is a bare progress bar."""
    prefix = f"({line.origin} pid={pid}) "
    if not line.source:
        return prefix + line.text
    return f"{prefix}{line.level} {now:%m-%d %H:%M:%S} [{line.source}] {line.text}"


def death_lines(options: ServeOptions, faults: FaultSettings) -> list[Line]:
    """Return what a dying engine and its API server print, or nothing if this one lives."""
    if not faults.dies_at(options.utilization):
        return []
    engine = [Line(0.9, "EngineCore_DP0", "core.py:936", text, "ERROR") for text in _capture_oom(options)]
    return engine + [Line(0.9, "APIServer", "", text) for text in _FAILED_CORE]


def _capture_oom(options: ServeOptions) -> list[str]:
    used = TOTAL_GIB - 0.42
    return [
        "EngineCore failed to start.",
        "Traceback (most recent call last):",
        *_frame("v1/engine/core.py", "run_engine_core"),
        *_frame("v1/engine/core.py", "_initialize_kv_caches"),
        *_frame("v1/worker/gpu_worker.py", "compile_or_warm_up_model"),
        *_frame("v1/worker/gpu_model_runner.py", "capture_model"),
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.02 GiB. "
        f"GPU 0 has a total capacity of {TOTAL_GIB:.2f} GiB of which 433.94 MiB is free. Including non-PyTorch memory, "
        f"this process has {used:.2f} GiB memory in use. Of the allocated memory {used - 2.9:.2f} GiB is allocated by "
        "PyTorch, with 1.20 GiB allocated in private pools (e.g., CUDA Graphs), and 310.42 MiB is reserved by PyTorch "
        "but unallocated. If reserved but unallocated memory is large try setting "
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.",
    ]


def _frame(path: str, function: str) -> list[str]:
    return [f'  File "/usr/local/lib/python3.12/dist-packages/vllm/{path}", in {function}']


_FAILED_CORE = [
    "Traceback (most recent call last):",
    *_frame("v1/engine/utils.py", "wait_for_engine_startup"),
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}",
]

Write = Callable[[Line], None]


def play(lines: Iterator[Line], begun: float, seconds: float, write: Write, wait: Callable[[float], None]) -> float:
    """Write lines at their share of the start time; `begun` is the share already spent; returns the share reached."""
    for line in lines:
        if line.at > begun:
            wait((line.at - begun) * seconds)
            begun = line.at
        write(line)
    return begun
