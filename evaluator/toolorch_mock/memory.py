"""The pretended GPU: what fits on it, in the simplest form of vLLM's own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolorch_mock.arguments import ServeOptions

GIB = 2**30
# What a forward pass of the greatest batch is pretended to need.
_ACTIVATIONS_GIB = 1.9
# A request's cache is laid out in blocks of so many tokens, vLLM's default.
_BLOCK_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Gpu:
    """One of a server's GPUs and the model on it; the defaults only need to fit together."""

    total_gib: float = 79.25
    weights_gib: float = 15.27
    """Of the whole model; each GPU of a server holds its share."""
    kv_kib_per_token: float = 144
    """On each GPU."""
    is_limited: bool = False
    """Whether weights and cache can be too large for it: only where somebody chose one of the sizes."""
    free_gib: float | None = None
    """What other programs leave of it; None for all."""

    @property
    def kv_bytes_per_token(self) -> float:
        """The cache of one token, in bytes."""
        return self.kv_kib_per_token * 1024

    def is_taken(self, options: ServeOptions) -> bool:
        """Whether others hold what this utilization asks for."""
        return self.free_gib is not None and self.total_gib * options.utilization > self.free_gib

    def weights_share(self, options: ServeOptions) -> float:
        """Return the GiB of weights on each GPU."""
        return self.weights_gib / options.tensor_parallel_size

    def kv_cache(self, options: ServeOptions) -> float:
        """Return the GiB left for the KV cache at this utilization, below 0 where the rest alone is too much."""
        return self.total_gib * options.utilization - self.weights_share(options) - _ACTIVATIONS_GIB

    def kv_needed(self, options: ServeOptions) -> float:
        """Return the GiB of KV cache that one request of the whole context length needs."""
        blocks = -(-options.max_model_len // _BLOCK_TOKENS)
        return blocks * _BLOCK_TOKENS * self.kv_bytes_per_token / GIB

    def longest(self, kv_cache_gib: float) -> int:
        """Return the longest context that a KV cache of this size holds, in tokens."""
        return max(0, int(kv_cache_gib * GIB / (self.kv_bytes_per_token * _BLOCK_TOKENS))) * _BLOCK_TOKENS


def fit_length(options: ServeOptions, gpu: Gpu) -> ServeOptions:
    """Lower a context length that was left to the server to what fits."""
    if not (options.fits_model_len and gpu.is_limited):
        return options
    longest = gpu.longest(gpu.kv_cache(options))
    return replace(options, max_model_len=min(options.max_model_len, longest)) if longest else options
