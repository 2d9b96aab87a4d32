"""What the models of a run are told, by domain, for its record: prompts and tools, without what is a task's own."""

from __future__ import annotations

from typing import Any

from toolorch_api.evalrun import EvalRunSpec
from toolorch_evaluator.benchmarks import variants
from toolorch_evaluator.benchmarks.tau2 import dataset, prompts
from toolorch_evaluator.benchmarks.tau2.alone import solo_tools
from toolorch_evaluator.benchmarks.tau2.experts import agent_tools, describe_experts
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, USER
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas

TICKET = "(the task's ticket)"
"""Stands where each task has its own."""


def describe(spec: EvalRunSpec) -> dict[str, Any]:
    """Return texts and tools by whom they are for; the user's scenario, which is each task's own, is left out."""
    texts, tools = dict[str, str](), dict[str, Any]()
    for domain in spec.benchmark.domains or dataset.DOMAINS:
        texts |= {f"{domain}: {whose}": text for whose, text in _texts(spec, domain).items()}
        tools |= {f"{domain}: {whose}": list(offered) for whose, offered in _tools(spec, domain).items() if offered}
    texts |= variants.describe(spec)
    if spec.roles.judge is not None:
        texts["judge"] = prompts.text("judge.md")
    return {"versions": {"prompts": prompts.VERSION, "variants": variants.VERSION}, "texts": texts, "tools": tools}


def _texts(spec: EvalRunSpec, domain: str) -> dict[str, str]:
    options, experts = spec.benchmark.options, bool(spec.roles.experts)
    policy = dataset.policy(domain, options.policy or dataset.MANUAL, bool(options.solo))
    told = {"agent": experts, **({"experts": False} if experts else {})}
    if options.solo:
        return {whose: prompts.solo_prompt(policy, TICKET, leads_experts=leads) for whose, leads in told.items()}
    guidelines = prompts.text("user_tools.md" if tool_schemas(domain, USER) else "user.md")
    return {
        **{whose: prompts.agent_prompt(policy, leads_experts=leads) for whose, leads in told.items()},
        "user's guidelines": guidelines,
    }


def _tools(spec: EvalRunSpec, domain: str) -> dict[str, Any]:
    solo, experts = spec.benchmark.options.solo, describe_experts(spec)
    desk = solo_tools(domain) if solo else tool_schemas(domain, ASSISTANT)
    return {
        "agent": agent_tools(desk, experts),
        **({"experts": desk} if experts else {}),
        **({} if solo else {"user": tool_schemas(domain, USER)}),
    }
