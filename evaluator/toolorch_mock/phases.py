"""The start of a server as its log tells it: the lines of each phase in vLLM's form.

A line is prefixed by the process that prints it; the engine core is a process of its own there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from toolorch_mock.arguments import VERSION, ServeOptions
from toolorch_mock.memory import GIB, Gpu

API, ENGINE = "APIServer", "EngineCore_DP0"


class Phase(IntEnum):
    """What has been reached, as the percentage of the start time that it takes."""

    BEGUN = 0
    LOADING = 20
    LOADED = 50
    MEASURED = 70
    """The memory for the KV cache is known; whether it is enough comes next."""
    SIZED = 80
    CAPTURED = 90
    READY = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One log line: when it comes, who prints it, where, and what; one without a source is a bare progress bar."""

    phase: Phase
    origin: str
    source: str
    text: str
    level: str = "INFO"


def start_lines(options: ServeOptions, gpu: Gpu) -> Iterator[Line]:
    """Yield the lines from the first one to the open port."""
    yield Line(Phase.BEGUN, API, "api_server.py:1272", f"vLLM API server version {VERSION}")
    yield Line(Phase.BEGUN, API, "model.py:1661", f"Using max model len {options.max_model_len}")
    text = f"Initializing a V1 LLM engine (v{VERSION}) with model={options.model!r}"
    yield Line(Phase.BEGUN, ENGINE, "core.py:96", text)
    yield Line(Phase.LOADING, ENGINE, "gpu_model_runner.py:3808", f"Starting to load model {options.model}...")
    text = f"Model loading took {gpu.weights_share(options):.4f} GiB memory and 1.2 seconds"
    yield Line(Phase.LOADED, ENGINE, "gpu_model_runner.py:3905", text)
    text = f"Available KV cache memory: {gpu.kv_cache(options):.2f} GiB"
    yield Line(Phase.MEASURED, ENGINE, "gpu_worker.py:358", text)
    yield from _cache_lines(options, gpu)
    yield from _capture_lines(options)
    text = "init engine (profile, create kv cache, warmup model) took 2.10 seconds"
    yield Line(Phase.CAPTURED, ENGINE, "core.py:273", text)
    yield Line(Phase.READY, API, "api_server.py:1014", "Supported tasks: ['generate']")
    address = f"http://{options.host}:{options.port}"
    yield Line(Phase.READY, API, "api_server.py:1346", f"Starting vLLM API server 0 on {address}")


def _cache_lines(options: ServeOptions, gpu: Gpu) -> Iterator[Line]:
    tokens = int(gpu.kv_cache(options) * GIB / gpu.kv_bytes_per_token)
    yield Line(Phase.SIZED, ENGINE, "kv_cache_utils.py:1305", f"GPU KV cache size: {tokens:,} tokens")
    concurrency = tokens / options.max_model_len
    text = f"Maximum concurrency for {options.max_model_len:,} tokens per request: {concurrency:.2f}x"
    yield Line(Phase.SIZED, ENGINE, "kv_cache_utils.py:1310", text)


def _capture_lines(options: ServeOptions) -> Iterator[Line]:
    if options.enforce_eager:
        return
    text = "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):   0%|          | 0/51 [00:00<?, ?it/s]"
    yield Line(Phase.SIZED, ENGINE, "", text)
    text = "Graph capturing finished in 1 secs, took 0.61 GiB"
    yield Line(Phase.CAPTURED, ENGINE, "gpu_model_runner.py:4856", text)


def render(line: Line, pid: int, now: datetime) -> str:
    """Render a line as vLLM's logger does."""
    prefix = f"({line.origin} pid={pid}) "
    if not line.source:
        return prefix + line.text
    return f"{prefix}{line.level} {now:%m-%d %H:%M:%S} [{line.source}] {line.text}"


Write = Callable[[Line], None]


def play(lines: Iterable[Line], begun: float, seconds: float, write: Write, wait: Callable[[float], None]) -> float:
    """Write lines at their share of the start time; `begun` is the share already spent; returns the share reached."""
    for line in lines:
        share = line.phase / Phase.READY
        if share > begun:
            wait((share - begun) * seconds)
            begun = share
        write(line)
    return begun
