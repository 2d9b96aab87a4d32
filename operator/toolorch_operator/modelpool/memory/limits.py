"""Remedies beside gpuMemoryUtilization: smaller batches, shorter contexts, more host memory, a restart. PURE."""

from __future__ import annotations

from toolorch_api.pool_reasons import PoolReason
from toolorch_api.quantity import parse_bytes
from toolorch_operator.modelpool.memory.bracket import is_torn
from toolorch_operator.modelpool.memory.changes import Change, Proposal, Situation, with_setting
from toolorch_operator.modelpool.memory.counts import restarts_of

RESTART_FIELD = "restart"
"""What a record names where a server is started again as it was."""

UNSET = "unset"
"""What a record says of a limit that is vLLM's own choice."""

# What vLLM takes where nothing is set, on all but the largest GPUs.
_DEFAULT_SEQS = 256
# A cache block holds 16 tokens, and a part of one serves nobody.
_BLOCK_TOKENS = 16
# A shorter context holds no conversation with tools: better to say so than to serve it, unless the spec asks for one.
_SHORTEST_CONTEXT = 1024
_MEBIBYTE = 1 << 20


def halve_tokens(s: Situation) -> Change | None:
    """Propose half of maxNumBatchedTokens where the spec sets it; vLLM wants at least one token per sequence."""
    now = s.effective.max_num_batched_tokens
    if now is None or now // 2 < (s.effective.max_num_seqs or _DEFAULT_SEQS):
        return None
    after = with_setting(s.effective, max_num_batched_tokens=now // 2)
    return Change("maxNumBatchedTokens", str(now), str(now // 2), PoolReason.MAX_NUM_BATCHED_TOKENS_CUT, after)


def halve_seqs(s: Situation) -> Change | None:
    """Propose half of maxNumSeqs; where the spec does not set it, half of vLLM's default."""
    return _cut_seqs(s, (s.effective.max_num_seqs or _DEFAULT_SEQS) // 2)


def halve_sampled_seqs(s: Situation) -> Change | None:
    """Propose half of the sequences that the sampler was warmed up with."""
    told = s.crash.figures.seqs
    return _cut_seqs(s, int(told) // 2) if told is not None else halve_seqs(s)


def cut_seqs_to_fit(s: Situation) -> Change | None:
    """Propose the most sequences that the server said to fit."""
    told = s.crash.figures.seqs
    return _cut_seqs(s, int(told)) if told is not None else halve_seqs(s)


def halve_seqs_if_torn(s: Situation) -> Change | None:
    """Propose half of maxNumSeqs where no utilization helps: what batches take, the KV cache lacks."""
    return halve_seqs(s) if is_torn(s.ladder) else None


def _cut_seqs(s: Situation, target: int) -> Change | None:
    now = s.effective.max_num_seqs
    if target < 1 or (now is not None and target >= now):
        return None
    before = UNSET if now is None else str(now)
    return Change(
        "maxNumSeqs", before, str(target), PoolReason.MAX_NUM_SEQS_CUT, with_setting(s.effective, max_num_seqs=target)
    )


def cut_model_len(s: Situation) -> Change | None:
    """Propose the longest context that fits, in whole cache blocks; None where it is not told or too short to serve."""
    now = s.effective.max_model_len or int(s.crash.figures.mml or 0)
    target = _fitting_tokens(s) // _BLOCK_TOKENS * _BLOCK_TOKENS
    is_short_asked = s.spec.max_model_len is not None and s.spec.max_model_len < _SHORTEST_CONTEXT
    shortest = _BLOCK_TOKENS if is_short_asked else _SHORTEST_CONTEXT
    if target < shortest or (now and target >= now):
        return None
    after = with_setting(s.effective, max_model_len=target)
    return Change("maxModelLen", str(now or UNSET), str(target), PoolReason.MAX_MODEL_LEN_CUT, after)


def _fitting_tokens(s: Situation) -> int:
    """Return vLLM's own estimate, which some versions leave out, or else the share of the context that has room."""
    found = s.crash.figures
    if found.est is not None:
        return int(found.est)
    if not found.mml or not found.need or found.avail is None:
        return 0
    return int(found.mml * found.avail / found.need)


def raise_memory(s: Situation) -> Change | None:
    """Propose half as much again of the container's memory, in whole Mi."""
    now = s.effective.memory or s.spec.resources.memory
    target = -(-parse_bytes(now) * 3 // (2 * _MEBIBYTE))
    if not target:
        return None
    after = with_setting(s.effective, memory=f"{target}Mi")
    return Change("memory", now, f"{target}Mi", PoolReason.HOST_MEMORY_RAISED, after)


def restart(times: int) -> Proposal:
    """Return the remedy that changes nothing, for what may pass by itself; `times` per replica."""

    def propose(s: Situation) -> Change | None:
        if restarts_of(s.crash, s.ladder.steps) >= times:
            return None
        run = s.crash.run
        return Change(RESTART_FIELD, str(run), str(run + 1), PoolReason.RESTARTED_AS_IT_WAS, s.effective)

    return propose
