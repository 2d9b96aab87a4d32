"""Signs that a run's numbers measure broken plumbing and not a model. PURE.

Each is about all of a run, or of what it can be seen in: a share of units that look so is what models do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from toolorch_api.shard import Result, UnitStatus
from toolorch_evaluator.counted import count_expert_calls
from toolorch_evaluator.latency import EMPTY_TOKENS, RoleLatency
from toolorch_evaluator.suspect_servers import find_worst_endpoint, find_wrong_models

# Fewer units than this prove nothing.
FEWEST = 3
# Conversations can be equal by chance or because tasks are alike; so many over different tasks are not.
FEWEST_EQUAL, FEWEST_TASKS = 6, 3
# Of an error's text, so much stands in status.
CHARACTERS = 500

# How a conversation ends where nobody meant it to, and where the cause of all of them doing so is to be looked for.
ABNORMAL_ENDS = {
    "max_steps": "does the user's model know when to end? See transcripts/ and the user's pool",
    "max_rounds": "does the agent ever answer? See transcripts/ and the pool's tool-call parser",
    "too_many_errors": "do its calls fit the tools' schemas? See transcripts/ and the pool's tool-call parser",
    "agent_error": "what does the agent answer? See transcripts/, the pool's chat template and its reasoning parser",
    "context_window_exceeded": "is the pool's maxModelLen large enough for the benchmark?",
    "invalid_reply": "are tool calls cut off? See maxTokens of the role and the pool's tool-call parser",
}
# What differs between two texts of one error: ids and numbers, each a word with a digit in it.
_VARYING = re.compile(r"[\w.-]*\d[\w.-]*")

# Their agent writes nothing but which tool is next: good agents may well write the same at every question.
CHOOSING = frozenset({"hle", "frames"})


def find_suspects(
    results: Sequence[Result], latency: Sequence[RoleLatency] = (), experts: Collection[str] = ()
) -> list[str]:
    """Return one sentence per sign, worst first.

    `results` are all ends of a run, infra errors included; `latency` sums up its calls; `experts` are the roles that
    the agent may call.
    """
    signs = find_wrong_models(results)
    if len(results) >= FEWEST:
        signs += [_one_error(results), _no_tool_calls(results), _empty(results, latency), _equal(results)]
        signs += [_one_end(results), _no_expert(results, experts)]
    return [sign for sign in (*signs, _no_search(results), find_worst_endpoint(results)) if sign]


def _one_error(results: Sequence[Result]) -> str:
    texts = {_VARYING.sub("#", f"{r.cause or r.termination_reason}: {r.message}") for r in results}
    if len(texts) > 1 or not all(r.message and r.status is not UnitStatus.PASSED for r in results):
        return ""
    first = results[0]
    return f"every unit failed with one error: {first.cause or first.termination_reason}: {first.message}"[:CHARACTERS]


def _no_tool_calls(results: Sequence[Result]) -> str:
    could = [r for r in results if r.usage.calls and r.tools_offered]
    if len(could) < FEWEST or any(r.tool_calls for r in could):
        return ""
    where = "do transcripts/ show calls as text? Then the pool's tool-call parser is not the model's"
    return f"the agent called no tool in any of {len(could)} units that offered some: {where}"


def _empty(results: Sequence[Result], latency: Sequence[RoleLatency]) -> str:
    where = "see the pool's reasoning parser, chat template and the role's maxTokens"
    agent = [row for row in latency if row.role == "agent"]
    calls, empty = sum(row.calls for row in agent), sum(row.empty for row in agent)
    if calls >= FEWEST and 2 * empty > calls:
        return f"the agent's completions are empty in {empty} of {calls} calls: {where}"
    # A server that reports no usage at all says nothing about its completions.
    told = [r for r in results if r.usage.calls and r.usage.prompt_tokens]
    bare = [r for r in told if r.usage.completion_tokens < EMPTY_TOKENS * r.usage.calls]
    if len(told) >= FEWEST and 2 * len(bare) > len(told):
        return f"completions are mostly empty in {len(bare)} of {len(told)} units: {where}"
    return ""


def _equal(results: Sequence[Result]) -> str:
    ended = [r for r in results if r.status is not UnitStatus.INFRA_ERROR and r.usage.calls]
    ended = [r for r in ended if r.domain not in CHOOSING]
    if len(ended) < FEWEST_EQUAL or len({(r.domain, r.task_id) for r in ended}) < FEWEST_TASKS:
        return ""
    where = "is the conversation's text sent to the model, and does its chat template use it?"
    if all(r.outputs for r in ended):
        is_one = len({r.outputs for r in ended}) == 1
        return f"the agent wrote the very same in all {len(ended)} units: {where}" if is_one else ""
    told = [r for r in ended if r.usage.completion_tokens]
    seen = {(r.usage.completion_tokens, r.usage.calls, r.tool_calls) for r in told}
    if len(told) < FEWEST_EQUAL or len(seen) > 1:
        return ""
    return f"all {len(told)} units have equal outputs, as many calls, tokens and tool calls in each: {where}"


def _one_end(results: Sequence[Result]) -> str:
    ended = [r for r in results if r.status is not UnitStatus.INFRA_ERROR]
    reasons = {r.termination_reason for r in ended}
    if len(ended) < FEWEST or len(reasons) > 1:
        return ""
    (reason,) = reasons
    if reason not in ABNORMAL_ENDS:
        return ""
    return f"all {len(ended)} conversations ended with {reason}: {ABNORMAL_ENDS[reason]}"


def _no_expert(results: Sequence[Result], experts: Collection[str]) -> str:
    # Results of before calls were told by role say nothing.
    ended = [r for r in results if r.status is not UnitStatus.INFRA_ERROR and r.calls.get("agent")]
    if not experts or len(ended) < FEWEST or count_expert_calls(ended, experts).total:
        return ""
    where = "do transcripts/ show that it tries? See prompts.json and the pool's tool-call parser"
    return f"the agent called none of its {len(experts)} experts in any of {len(ended)} units: {where}"


def _no_search(results: Sequence[Result]) -> str:
    searches = sum(n for r in results for name, n in r.counts.items() if name.startswith("search_"))
    away = sum(r.counts.get("search_retrieval_unavailable", 0) for r in results)
    if away < FEWEST or 2 * away <= searches:
        return ""
    return f"the search service was away in {away} of {searches} searches: see its pods, and roles.retrieval.url"
