"""Signs that a run's numbers measure broken plumbing and not a model."""

from __future__ import annotations

from collections.abc import Sequence

from toolorch_api.shard import Result, UnitStatus

# Fewer units than this prove nothing.
FEWEST = 3
# Completions that average less than this are empty, or an end mark alone.
EMPTY_TOKENS = 2


def find_suspects(results: Sequence[Result]) -> list[str]:
    """Return one sentence per sign, worst first; `results` are all ends of a run, infra errors included."""
    if len(results) < FEWEST:
        return []
    signs = (_one_error(results), _no_tool_calls(results), _empty(results), _equal(results))
    return [sign for sign in signs if sign]


def _one_error(results: Sequence[Result]) -> str:
    causes = {r.cause for r in results}
    if len(causes) == 1 and all(r.status is UnitStatus.INFRA_ERROR for r in results):
        return f"every unit failed with one error: {results[0].cause}: {results[0].message}"[:500]
    return ""


def _answered(results: Sequence[Result]) -> list[Result]:
    return [r for r in results if r.usage.calls]


def _no_tool_calls(results: Sequence[Result]) -> str:
    answered = _answered(results)
    if len(answered) >= FEWEST and not any(r.tool_calls for r in answered):
        return f"the agent called no tool in any of {len(answered)} units: is the tool-call parser the model's?"
    return ""


def _empty(results: Sequence[Result]) -> str:
    # A server that reports no usage at all says nothing about its completions.
    answered = [r for r in _answered(results) if r.usage.prompt_tokens]
    empty = [r for r in answered if r.usage.completion_tokens < EMPTY_TOKENS * r.usage.calls]
    if len(answered) >= FEWEST and 2 * len(empty) > len(answered):
        return f"completions are mostly empty in {len(empty)} of {len(answered)} units"
    return ""


def _equal(results: Sequence[Result]) -> str:
    answered = [r for r in _answered(results) if r.usage.completion_tokens]
    seen = {(r.usage.completion_tokens, r.usage.calls, r.tool_calls) for r in answered}
    if len(answered) >= 2 * FEWEST and len(seen) == 1:
        return f"all {len(answered)} units have equal outputs: as many calls, tokens and tool calls in each"
    return ""
