"""Experts as a tool of the agent, in the manner of ToolOrchestra: whoever is called writes the agent's next turn.

The agent gets the desk's tools without the transfer to a human, and `call_expert`; an expert gets all of the desk's
tools and no further experts. Where a model's context is outgrown, whole turns are left out of the middle of what it is
sent, as far as its server takes it: the budget is the served model's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolorch_api.evalrun import EvalRunSpec
from toolorch_evaluator.benchmarks.base import Ask, ContextWindowExceededError, Reply
from toolorch_evaluator.benchmarks.tau2 import prompts
from toolorch_evaluator.benchmarks.trimming import cut_middle

CALL = "call_expert"
"""The name and its argument `expert` are those that NVIDIA's Orchestrator-8B was trained with."""
TRANSFER = "transfer_to_human_agents"
# What is left of a conversation at each further try.
SHARES = (1.0, 0.75, 0.5, 0.25)

Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Turn:
    """The agent's next turn; `expert` wrote it, in place of `said`, where it is not empty."""

    reply: Reply
    expert: str = ""
    said: str | None = None


def describe_experts(spec: EvalRunSpec) -> dict[str, str]:
    """Return what the agent is told of each expert, by name."""
    return {name: role.description or role.pool for name, role in spec.roles.experts.items()}


def agent_tools(desk: Tools, experts: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
    """Return the tools of an agent that leads experts, or the desk's where there are none."""
    if not experts:
        return tuple(desk)
    kept = (tool for tool in desk if tool["function"]["name"] != TRANSFER)
    return (*kept, _schema(experts))


def _schema(experts: Mapping[str, str]) -> dict[str, Any]:
    lines = "\n".join(f"- {name}: {words}" for name, words in experts.items())
    expert = {"type": "string", "enum": list(experts), "description": "Who writes the turn."}
    return {
        "type": "function",
        "function": {
            "name": CALL,
            "description": f"{prompts.text('call_expert.md')}\n{lines}",
            "parameters": {"type": "object", "properties": {"expert": expert}, "required": ["expert"]},
        },
    }


@dataclass(slots=True)
class Team:
    """The agent and its experts, for one conversation."""

    ask: Ask
    experts: Mapping[str, str]
    agent_prompt: str
    expert_prompt: str
    desk: Tools
    seed: int
    must_call: bool = False
    """Whether each turn has to be a tool call, as in solo mode."""
    _shares: dict[str, float] = field(default_factory=dict)

    async def speak(self, history: Sequence[Mapping[str, Any]]) -> Turn:
        """Return the next turn after a history in OpenAI form; raises what `ask` raises."""
        own = await self._ask("agent", self.agent_prompt, history, agent_tools(self.desk, self.experts))
        # As in ToolOrchestra, of several calls the last one counts; a name that nobody has goes to the environment.
        named = [call.arguments.get("expert") for call in own.tool_calls if call.name == CALL][-1:]
        expert = named[0] if named else None
        if not isinstance(expert, str) or expert not in self.experts:
            return Turn(own)
        return Turn(await self._ask(expert, self.expert_prompt, history, self.desk), expert, own.content)

    async def _ask(self, role: str, prompt: str, history: Sequence[Mapping[str, Any]], tools: Tools) -> Reply:
        messages = [{"role": "system", "content": prompt}, *history]
        # An agent without experts is not helped: that its context was too small is its result.
        forced = {"wants": {"tool_choice": "required"}} if self.must_call else {}
        shares = [s for s in SHARES if s <= self._shares.get(role, 1.0)] if self.experts else [1.0]
        for share in shares:
            try:
                sent = messages if share == 1.0 else cut_middle(messages, share)
                return await self.ask(role, sent, tools, self.seed, **forced)
            except ContextWindowExceededError:
                if share == shares[-1]:
                    raise
                self._shares[role] = SHARES[SHARES.index(share) + 1]
        raise AssertionError("unreachable: there is always a share to try")
