"""What a user can do about a crash that the ladder does not, or no longer, cure: one sentence per class. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from toolorch_operator.modelpool.crashes import NO_CLASS, Crash

_LESS_PER_GPU = "Raise tensorParallelSize, use a quantized model, or a GPU with more memory"
_SMALLER_BATCH = "Lower maxNumBatchedTokens or maxNumSeqs"

ADVICE: Mapping[str, str] = {
    "FREE_LT": "Another program holds memory of the GPU: free it, or lower gpuMemoryUtilization.",
    "LOAD_OOM": f"The weights do not fit, which gpuMemoryUtilization cannot change. {_LESS_PER_GPU}.",
    "PROFILE_OOM": f"The largest batch does not fit beside the weights. {_SMALLER_BATCH}.",
    "SAMPLER_OOM": "Lower maxNumSeqs.",
    "KV_NONE": f"No memory is left for the KV cache. Raise gpuMemoryUtilization. {_LESS_PER_GPU}.",
    "KV_SMALL": "One request of the full length does not fit. Raise gpuMemoryUtilization or lower maxModelLen.",
    "RACE": "Another program released GPU memory meanwhile; the next start usually passes.",
    "SHM": "Raise resources.sharedMemory.",
    "HOST_OOM": "Raise resources.memory; gpuMemoryUtilization has nothing to do with it.",
    "CAPTURE_OOM": f"{_SMALLER_BATCH}, or add --enforce-eager to extraArgs.",
    "RUN_OOM": f"{_SMALLER_BATCH}.",
    "CUDA_OOM": f"{_LESS_PER_GPU}.",
}

_UNKNOWN = "See the log of the pod's previous container"
# 128 + SIGTERM: nobody but the kubelet ends a server that was not deleted, and it does so when /health never answered.
_TERMINATED = 143


def advise(crash: Crash) -> str:
    """Return what to do about a crash, as sentences."""
    if crash.signature == NO_CLASS and crash.exit_code == _TERMINATED:
        return "It was stopped from outside, as when it does not answer /health in time: raise startup.timeoutSeconds."
    return ADVICE.get(crash.signature, f"{_UNKNOWN} of {crash.instance}: kubectl logs --previous.")
