"""The exceptions by which vLLM 0.33 names what it has too little of, with the numbers of the pretended GPU."""

from __future__ import annotations

from collections.abc import Callable

from toolorch_mock.arguments import ServeOptions
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_mock.memory import Gpu

MORE = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more"

# A crash that was asked for must find something too small: what is there is this share of what is wanted.
_SCARCE = 0.5


def _gib(gib: float) -> float:
    """Round as vLLM prints sizes."""
    return round(gib, 2)


def cuda_oom(gpu: Gpu) -> str:
    """Return PyTorch's own words without the exception's name."""
    used = gpu.total_gib - 0.42
    return (
        f"CUDA out of memory. Tried to allocate 1.02 GiB. GPU 0 has a total capacity of {gpu.total_gib:.2f} GiB of "
        f"which 433.94 MiB is free. Including non-PyTorch memory, this process has {used:.2f} GiB memory in use. Of "
        f"the allocated memory {used - 2.9:.2f} GiB is allocated by PyTorch, with 1.20 GiB allocated in private pools "
        "(e.g., CUDA Graphs), and 310.42 MiB is reserved by PyTorch but unallocated. If reserved but unallocated "
        "memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
    )


def _free_lt(options: ServeOptions, gpu: Gpu) -> str:
    wanted = gpu.total_gib * options.utilization
    free = gpu.free_gib if gpu.free_gib is not None and gpu.is_taken(options) else wanted * _SCARCE
    return (
        f"ValueError: Free memory on device cuda:0 ({_gib(free)}/{_gib(gpu.total_gib)} GiB) on startup is less than "
        f"desired GPU memory utilization ({options.utilization}, {_gib(wanted)} GiB). Decrease GPU memory utilization "
        "or reduce GPU memory used by other processes."
    )


def _externally_held(options: ServeOptions, gpu: Gpu) -> str:
    wanted = gpu.total_gib * options.utilization
    return (
        f"ValueError: Externally held weights on device cuda:0 ({_gib(wanted / _SCARCE)}/{_gib(gpu.total_gib)} GiB) "
        f"exceed the desired GPU memory utilization ({options.utilization}, {_gib(wanted)} GiB). Increase GPU memory "
        "utilization or reduce GPU memory used by other processes."
    )


def _sampler(options: ServeOptions, _gpu: Gpu) -> str:
    return (
        f"RuntimeError: CUDA out of memory occurred when warming up sampler with {options.max_seqs} dummy requests. "
        "Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine."
    )


def _race(_options: ServeOptions, gpu: Gpu) -> str:
    # More is free than before the start: somebody else has left.
    before, after = gpu.total_gib * 0.6, gpu.total_gib * 0.7
    return (
        f"AssertionError: Error in memory profiling. Initial free memory {_gib(before)} GiB, current free memory "
        f"{_gib(after)} GiB. This happens when other processes sharing the same container release GPU memory while "
        "vLLM is profiling during initialization. To fix this, ensure consistent GPU memory allocation or isolate "
        "vLLM in its own container."
    )


def _cpu(options: ServeOptions, gpu: Gpu) -> str:
    used = gpu.total_gib * options.utilization
    return (
        f"ValueError: The worker already uses {_gib(used)} GiB of memory, which leaves none for the KV cache. Please "
        f"increase `--gpu-memory-utilization` to more than {options.utilization} or set VLLM_CPU_KVCACHE_SPACE."
    )


def _kv_none(_options: ServeOptions, _gpu: Gpu) -> str:
    return (
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
        "initializing the engine (this flag also controls CPU memory reservation on the CPU backend, despite its "
        f"name). {MORE} details."
    )


def _scarce_cache(options: ServeOptions, gpu: Gpu) -> tuple[float, float]:
    """Return the GiB of cache that one request needs, and what is there."""
    needed, there = gpu.kv_needed(options), gpu.kv_cache(options)
    return needed, there if 0 < there < needed else needed * _SCARCE


def _kv_small(options: ServeOptions, gpu: Gpu) -> str:
    needed, there = _scarce_cache(options, gpu)
    longest = gpu.longest(there)
    estimate = f"Based on the available memory, the estimated maximum model length is {longest}. " if longest else ""
    return (
        "ValueError: To serve at least one request with the model's max seq len "
        f"({options.max_model_len}), ({_gib(needed)} GiB KV cache is needed, which is larger than the available KV "
        f"cache memory ({_gib(there)} GiB). {estimate}Try increasing `gpu_memory_utilization` (which also controls "
        "CPU memory on the CPU backend) or decreasing `max_model_len` when initializing the engine. "
        f"{MORE} details."
    )


def _kv_small_v0(options: ServeOptions, gpu: Gpu) -> str:
    longest = gpu.longest(_scarce_cache(options, gpu)[1])
    return (
        f"ValueError: The model's max seq len ({options.max_model_len}) is larger than the maximum number of tokens "
        f"that can be stored in KV cache ({longest}). Try increasing `gpu_memory_utilization` or decreasing "
        "`max_model_len` when initializing the engine."
    )


def _autofit(_options: ServeOptions, _gpu: Gpu) -> str:
    return (
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. "
        "Try increasing `gpu_memory_utilization`."
    )


def _mamba(options: ServeOptions, faults: FaultSettings) -> str:
    blocks = faults.max_seqs if faults.max_seqs is not None else int(options.max_seqs * _SCARCE)
    return (
        f"ValueError: max_num_seqs ({options.max_seqs}) exceeds available Mamba cache blocks ({blocks}). Each decode "
        "sequence requires one Mamba cache block, so CUDA graph capture cannot proceed. Please lower max_num_seqs to "
        f"at most {blocks} or increase gpu_memory_utilization."
    )


def _of_gpu(sentence: Callable[[ServeOptions, Gpu], str]) -> _Sentence:
    return lambda options, faults: sentence(options, faults.gpu)


_Sentence = Callable[[ServeOptions, FaultSettings], str]
_SENTENCES: dict[Crash, _Sentence] = {
    Crash.FREE_LT: _of_gpu(_free_lt),
    Crash.EXT: _of_gpu(_externally_held),
    Crash.SAMPLER_OOM: _of_gpu(_sampler),
    Crash.RACE: _of_gpu(_race),
    Crash.CPU: _of_gpu(_cpu),
    Crash.KV_NONE: _of_gpu(_kv_none),
    Crash.KV_SMALL: _of_gpu(_kv_small),
    Crash.KV_SMALL_V0: _of_gpu(_kv_small_v0),
    Crash.AUTOFIT: _of_gpu(_autofit),
    Crash.MAMBA: _mamba,
}


def exception(crash: Crash, options: ServeOptions, faults: FaultSettings) -> str:
    """Return the line with the exception that a crash is known by; PyTorch's own where vLLM adds nothing."""
    sentence = _SENTENCES.get(crash)
    return sentence(options, faults) if sentence else f"torch.OutOfMemoryError: {cuda_oom(faults.gpu)}"
