"""What a dying engine and its API server print, each crash with its traceback, as vLLM 0.33 does."""

from __future__ import annotations

from toolorch_mock.arguments import ServeOptions
from toolorch_mock.deaths import LAST_PHASE
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_mock.memory_errors import MORE, cuda_oom, exception
from toolorch_mock.phases import API, ENGINE, Line

ENGINE_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
_CAUSED = "The above exception was the direct cause of the following exception:"
_LIBRARY = "/usr/local/lib/python3.12/dist-packages/vllm"

# Path and name of the innermost functions of each traceback, outermost first. CUDA_OOM's must not tell the phase.
_CORE = "v1/engine/core.py run_engine_core"
_INITIALIZING = (_CORE, "v1/engine/core.py _initialize_kv_caches")
_DEVICE = (_CORE, "v1/worker/gpu_worker.py init_device")
_PROFILING = (*_INITIALIZING, "v1/worker/gpu_worker.py determine_available_memory")
_PLANNING = (*_INITIALIZING, "v1/core/kv_cache_planning.py get_kv_cache_configs")
_FRAMES: dict[Crash, tuple[str, ...]] = {
    Crash.FREE_LT: (*_DEVICE, "v1/worker/utils.py request_memory"),
    Crash.EXT: (*_DEVICE, "v1/worker/utils.py request_memory"),
    Crash.SHM: (*_DEVICE, "distributed/device_communicators/pynccl.py __init__"),
    Crash.LOAD_OOM: (_CORE, "v1/worker/gpu_worker.py load_model", "v1/worker/gpu_model_runner.py load_model"),
    Crash.PROFILE_OOM: (*_PROFILING, "v1/worker/gpu_model_runner.py profile_run"),
    Crash.SAMPLER_OOM: (*_PROFILING, "v1/worker/gpu_model_runner.py _dummy_sampler_run"),
    Crash.RACE: _PROFILING,
    Crash.CPU: (*_INITIALIZING, "v1/worker/cpu_worker.py determine_available_memory"),
    Crash.KV_NONE: (*_PLANNING, "v1/core/kv_cache_planning.py _check_enough_kv_cache_memory"),
    Crash.KV_SMALL: (*_PLANNING, "v1/core/kv_cache_planning.py _check_enough_kv_cache_memory"),
    Crash.KV_SMALL_V0: (_CORE, "worker/worker.py initialize_cache", "worker/worker.py raise_if_cache_size_invalid"),
    Crash.AUTOFIT: (*_PLANNING, "v1/core/kv_cache_planning.py _auto_fit_max_model_len"),
    Crash.MAMBA: (*_INITIALIZING, "config/compilation.py resolve_cudagraph_mode_and_sizes"),
    Crash.CAPTURE_OOM: (
        *_INITIALIZING,
        "v1/worker/gpu_worker.py compile_or_warm_up_model",
        "v1/worker/gpu_model_runner.py capture_model",
    ),
    Crash.RUN_OOM: (_CORE, "v1/engine/core.py run_busy_loop", "v1/worker/gpu_model_runner.py execute_model"),
}


def last_words(crash: Crash, options: ServeOptions, faults: FaultSettings) -> list[Line]:
    """Return what is printed after the last line of the crash's phase."""
    phase = LAST_PHASE[crash]
    engine = [Line(phase, ENGINE, "core.py:936", text, "ERROR") for text in _engine_words(crash, options, faults)]
    return engine + [Line(phase, API, "", text) for text in _api_words(crash, options)]


def _engine_words(crash: Crash, options: ServeOptions, faults: FaultSettings) -> list[str]:
    if crash is Crash.HOST_OOM:
        return _killed(options)
    if crash is Crash.RUN_OOM:
        said = ["EngineCore encountered a fatal error."]
    else:
        said = [*_warnings(crash, faults), "EngineCore failed to start."]
    said += _traceback(*_FRAMES.get(crash, (_CORE,)))
    if crash is Crash.SAMPLER_OOM:
        said += [f"torch.OutOfMemoryError: {cuda_oom(faults.gpu)}", _CAUSED, *_traceback(*_FRAMES[crash])]
    return [*said, _PLAIN.get(crash) or exception(crash, options, faults)]


_PLAIN = {
    Crash.SHM: "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
    Crash.NONE: "ValueError: Model architectures ['MockForCausalLM'] are not supported for now.",
}


def _warnings(crash: Crash, faults: FaultSettings) -> list[str]:
    """Return what is said before the traceback."""
    if crash is Crash.LOAD_OOM:
        return [
            "Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization to free memory for "
            "weights, increasing --tensor-parallel-size, or using --quantization. "
            f"{MORE} tips. (original error: {cuda_oom(faults.gpu)})"
        ]
    if crash is Crash.SHM:
        segment = "/dev/shm/nccl-a1b2C3 (size 9637888)"
        return [f"NCCL WARN Error while creating shared memory segment {segment}, error: No space left on device (28)"]
    return []


def _killed(options: ServeOptions) -> list[str]:
    """Return what is left to say of a child that the kernel killed: with workers of its own, the engine sees it."""
    if options.tensor_parallel_size == 1:
        return []
    return ["Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor."]


def _api_words(crash: Crash, options: ServeOptions) -> list[str]:
    if crash is Crash.RUN_OOM:
        error = f"vllm.v1.engine.exceptions.EngineDeadError: {ENGINE_DEAD}"
        return ["AsyncLLM output_handler failed.", *_traceback("v1/engine/async_llm.py output_handler"), error]
    code = -9 if crash is Crash.HOST_OOM and options.tensor_parallel_size == 1 else 1
    core = f"Failed core proc(s): {{'{ENGINE}': {code}}}"
    failed = f"RuntimeError: Engine core initialization failed. See root cause above. {core}"
    return [*_traceback("v1/engine/utils.py wait_for_engine_startup"), failed]


def _traceback(*frames: str) -> list[str]:
    places = (frame.split() for frame in frames)
    return ["Traceback (most recent call last):", *(f'  File "{_LIBRARY}/{path}", in {name}' for path, name in places)]
