"""What the numbers of a crash say, and what a user can do where the ladder does not, or no longer, cure it. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from toolorch_operator.modelpool.memory.crashes import Crash

_LESS_PER_GPU = "Raise tensorParallelSize, use a quantized model, or a GPU with more memory"
_SMALLER_BATCH = "Lower maxNumBatchedTokens or maxNumSeqs"
_LONG_CONTEXT = "One request of the full length does not fit. Raise gpuMemoryUtilization or lower maxModelLen."

ADVICE: Mapping[str, str] = {
    "FREE_LT": "Another program holds memory of the GPU: free it, or lower gpuMemoryUtilization.",
    "LOAD_OOM": f"The weights do not fit, which gpuMemoryUtilization cannot change. {_LESS_PER_GPU}.",
    "PROFILE_OOM": f"The largest batch does not fit beside the weights. {_SMALLER_BATCH}.",
    "SAMPLER_OOM": "Lower maxNumSeqs.",
    "KV_NONE": f"No memory is left for the KV cache. Raise gpuMemoryUtilization. {_LESS_PER_GPU}.",
    "KV_SMALL": _LONG_CONTEXT,
    "KV_SMALL_V0": _LONG_CONTEXT,
    "AUTOFIT": f"No context length fits at all. Raise gpuMemoryUtilization. {_LESS_PER_GPU}.",
    "MAMBA": "Lower maxNumSeqs or raise gpuMemoryUtilization.",
    "EXT": "Weights that another process keeps on the GPU take more than the share. Raise gpuMemoryUtilization.",
    "CPU": "The share of the machine's memory is too small. Raise gpuMemoryUtilization.",
    "RACE": "Another program released GPU memory meanwhile: give the pool GPUs that nobody else uses.",
    "SHM": "Raise resources.sharedMemory, and resources.memory with it, since it counts towards that.",
    "HOST_OOM": "Raise resources.memory; gpuMemoryUtilization has nothing to do with it.",
    "CAPTURE_OOM": f"{_SMALLER_BATCH}, or add --enforce-eager to extraArgs.",
    "RUN_OOM": f"{_SMALLER_BATCH}.",
    "CUDA_OOM": f"{_LESS_PER_GPU}.",
}

BETWEEN = f"Lower maxModelLen, maxNumSeqs or maxNumBatchedTokens. {_LESS_PER_GPU}."
"""Advice where every utilization is either too low or too high."""


def advise(crash: Crash) -> str:
    """Return what to do about a crash, as sentences."""
    return ADVICE.get(crash.signature, f"See why {crash.instance} ended: kubectl logs --previous.")


def describe_figures(crash: Crash) -> str:
    """Return what the numbers of a crash say; empty where it holds none that tell the cause."""
    found = crash.figures
    match crash.signature:
        case "FREE_LT" if found.free is not None and found.total is not None:
            return f"{found.free:g} of {found.total:g} GiB were free"
        case "KV_SMALL" if found.need is not None and found.avail is not None:
            context = f"a request of {found.mml:.0f} tokens" if found.mml else "one request"
            fits = f", enough for {found.est:.0f} tokens" if found.est else ""
            return f"{context} needs {found.need:g} GiB of KV cache, and {found.avail:g} GiB are left{fits}"
        case "KV_SMALL_V0" if found.est is not None and found.mml is not None:
            return f"{found.est:.0f} of {found.mml:.0f} tokens fit"
        case "MAMBA" if found.seqs is not None:
            return f"at most {found.seqs:.0f} sequences fit"
        case "SAMPLER_OOM" if found.seqs is not None:
            return f"{found.seqs:.0f} sequences are too many"
        case _:
            return ""
