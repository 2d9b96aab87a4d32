"""The table of the ladder: which remedies a crash's class has, in order. A further remedy is a row. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from toolorch_api.modelpool import Remedy
from toolorch_operator.modelpool.memory.changes import Change, Rung, Situation, utilization
from toolorch_operator.modelpool.memory.limits import (
    cut_model_len,
    cut_seqs_to_fit,
    halve_sampled_seqs,
    halve_seqs,
    halve_seqs_if_torn,
    halve_tokens,
    raise_memory,
    restart,
)
from toolorch_operator.modelpool.memory.utilization import (
    lower,
    lower_after_kv,
    lower_to_free,
    raise_as_told,
    raise_by_need,
    raise_utilization,
)

__all__ = ["LADDER", "find_step", "list_refused", "utilization"]

_UTILIZATION, _TOKENS, _SEQS = Remedy.GPU_MEMORY_UTILIZATION, Remedy.MAX_NUM_BATCHED_TOKENS, Remedy.MAX_NUM_SEQS

_SMALLER_BATCH = (Rung(_TOKENS, halve_tokens), Rung(_SEQS, halve_seqs))

# A crash that came back after two lower values is not about this number alone; to lower on is the last resort.
_LESS = (
    Rung(_UTILIZATION, lower, times=2),
    Rung(_TOKENS, halve_tokens, times=1),
    Rung(_SEQS, halve_seqs, times=1),
    Rung(_UTILIZATION, lower),
    *_SMALLER_BATCH,
)
_MORE_CACHE = (Rung(_UTILIZATION, raise_utilization), *_SMALLER_BATCH)
_LONG_CONTEXT = (
    Rung(_UTILIZATION, raise_by_need),
    Rung(Remedy.MAX_MODEL_LEN, cut_model_len),
    Rung(_SEQS, halve_seqs_if_torn, times=1),
)

# Weights that do not fit stay so, but what else held the GPU may go; a race is lost several times in a row at worst.
LADDER: Mapping[str, tuple[Rung, ...]] = {
    "FREE_LT": (Rung(None, restart(1)), Rung(_UTILIZATION, lower_to_free)),
    "LOAD_OOM": (Rung(None, restart(1)),),
    "PROFILE_OOM": _SMALLER_BATCH,
    "SAMPLER_OOM": (
        Rung(_SEQS, halve_sampled_seqs, times=2),
        Rung(_UTILIZATION, lower_after_kv),
        Rung(_SEQS, halve_sampled_seqs),
    ),
    "KV_NONE": _MORE_CACHE,
    "KV_SMALL": _LONG_CONTEXT,
    "KV_SMALL_V0": _LONG_CONTEXT,
    "AUTOFIT": _MORE_CACHE,
    "MAMBA": (Rung(_SEQS, cut_seqs_to_fit), Rung(_UTILIZATION, raise_utilization)),
    "CAPTURE_OOM": _LESS,
    "RUN_OOM": _LESS,
    "CUDA_OOM": _LESS,
    "RACE": (Rung(None, restart(3)),),
    "EXT": (Rung(_UTILIZATION, raise_utilization),),
    "CPU": (Rung(_UTILIZATION, raise_as_told),),
    "HOST_OOM": (Rung(Remedy.HOST_MEMORY, raise_memory),),
    "SHM": (),
}


def find_step(s: Situation) -> tuple[Rung, Change] | None:
    """Return the first remedy that is allowed and finds something to change, with its change."""
    proposals = ((rung, rung.proposal(s)) for rung in _rungs(s) if _is_allowed(rung, s))
    return next(((rung, change) for rung, change in proposals if change is not None), None)


def list_refused(s: Situation) -> list[Remedy]:
    """Return the remedies that would find something to change if spec.remediation.allow held them."""
    refused = (r for r in _rungs(s) if not _is_allowed(r, s) and r.proposal(s) is not None)
    return list(dict.fromkeys(r.remedy for r in refused if r.remedy is not None))


def _rungs(s: Situation) -> tuple[Rung, ...]:
    return LADDER.get(s.crash.signature, ())


def _is_allowed(rung: Rung, s: Situation) -> bool:
    return rung.remedy is None or rung.remedy in s.spec.remediation.allow
