"""The three tools and the models behind them: who may be called, and how the agent is told of it.

Their names, the one argument `model` and the names of models are those that NVIDIA's Orchestrator-8B was trained with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_api.evalrun import EvalRunSpec
from toolorch_evaluator.benchmarks.base import Reply
from toolorch_evaluator.benchmarks.questions import prompts

REASON, SEARCH, ANSWER = "enhance_reasoning", "search", "answer"
PREFIXES = {REASON: ("reasoner-",), SEARCH: ("search-",), ANSWER: ("answer-",)}


@dataclass(frozen=True, slots=True)
class Choice:
    """A tool and the model that it is to be done by."""

    tool: str
    model: str


@dataclass(frozen=True, slots=True)
class Team:
    """What the agent is told of the models of each tool: by tool, then by name."""

    models: Mapping[str, Mapping[str, str]]

    def schemas(self, without: Sequence[str] = ()) -> tuple[dict[str, Any], ...]:
        """Return the tools that have a model, as the agent is offered them."""
        return tuple(_schema(tool, known) for tool, known in self.models.items() if known and tool not in without)

    def choices(self, reply: Reply) -> tuple[list[Choice], str]:
        """Return the valid choices of a reply in their order, and what is wrong with the others; empty: nothing is."""
        valid, wrong = list[Choice](), list[str]()
        for call in reply.tool_calls:
            model = call.arguments.get("model")
            known = self.models.get(call.name) or {}
            if model in known:
                valid.append(Choice(call.name, str(model)))
            else:
                wrong.append(f"{call.name} of {model!r}" if known else f"unknown tool {call.name}")
        return valid, "; ".join(wrong) or ("" if reply.tool_calls else "no tool call")


def build_team(spec: EvalRunSpec) -> Team:
    """Return the team of a spec; raises ValueError where it cannot work."""
    told = {name: role.description or role.pool for name, role in spec.roles.experts.items()}
    models = {
        tool: {name: words for name, words in told.items() if name.startswith(prefixes)}
        for tool, prefixes in PREFIXES.items()
    }
    strangers = [name for name in told if not any(name in known for known in models.values())]
    if strangers:
        raise ValueError(
            f"roles.experts: {strangers[0]} has no place here: take reasoner-1, search-1, answer-1 and so on"
        )
    if not models[ANSWER]:
        raise ValueError("roles.experts needs at least answer-1: only the tool answer can end a question")
    if models[SEARCH] and spec.roles.retrieval is None:
        raise ValueError("roles.retrieval.url is needed: roles.experts has search-1, which searches it")
    return Team(models)


def _schema(tool: str, known: Mapping[str, str]) -> dict[str, Any]:
    lines = "\n".join(f"- {name}: {words}" for name, words in known.items())
    model = {"type": "string", "enum": list(known), "description": "Who does it."}
    return {
        "type": "function",
        "function": {
            "name": tool,
            "description": f"{prompts.text(f'tool_{tool}.md')}\n{lines}",
            "parameters": {"type": "object", "properties": {"model": model}, "required": ["model"]},
        },
    }
