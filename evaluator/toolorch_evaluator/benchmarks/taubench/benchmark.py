"""τ-bench as the runner knows it: its units, a unit's conversation, a transcript's score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks import variants
from toolorch_evaluator.benchmarks.base import Ask, Listing, Packaged, Score
from toolorch_evaluator.benchmarks.seeds import trial_seed
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.counting import count_tools
from toolorch_evaluator.benchmarks.tau2.listing import list_units
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT
from toolorch_evaluator.benchmarks.tau2.prompts import sha256
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas
from toolorch_evaluator.benchmarks.tau2.transcript import dump_transcript, parse_transcript
from toolorch_evaluator.benchmarks.taubench import prompts
from toolorch_evaluator.benchmarks.taubench.conversation import MAX_STEPS, Conversation, Setting
from toolorch_evaluator.benchmarks.taubench.scoring import score
from toolorch_evaluator.benchmarks.taubench.strategies import TEXT_STRATEGIES, build_examples

DOMAINS = ("retail", "airline")
DEFAULT_STRATEGY = "tool-calling"


class TauBench(Packaged):
    """The benchmark `tau-bench`, by the rules of τ-bench v1 over the tasks that τ²-bench keeps."""

    name = "tau-bench"

    def list_units(self, spec: EvalRunSpec) -> Listing:
        """List variant by variant, domain by domain, task by task, trial by trial; raises ValueError."""
        return list_units(spec, spec.benchmark.domains or DOMAINS)

    def describe(self, spec: EvalRunSpec) -> dict[str, Any]:
        """Return prompts and tools by domain and role, without the examples, which are each task's own."""
        strategy, texts, tools = spec.benchmark.options.strategy or DEFAULT_STRATEGY, variants.describe(spec), {}
        for domain in spec.benchmark.domains or DOMAINS:
            offered = tool_schemas(domain, ASSISTANT)
            texts[f"{domain}: agent"] = prompts.agent_prompt(dataset.policy(domain), strategy, offered, "")
            if strategy not in TEXT_STRATEGIES:
                tools[f"{domain}: agent"] = list(offered)
        texts["user's guidelines"] = prompts.text("user.md")
        return {"versions": {"prompts": prompts.VERSION, "variants": variants.VERSION}, "texts": texts, "tools": tools}

    async def converse(self, unit: Unit, spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Hold the unit's conversation; raises ModelError where a model server, or the simulated user, fails."""
        task = dataset.task(unit.domain, unit.task_id)
        setting = _setting(unit, spec, task.scenario)
        conversation = Conversation(task, setting, ask)
        reason = await conversation.hold()
        return {
            **dump_transcript(task, reason, conversation.messages),
            "variant": unit.variant,
            "trial": unit.trial,
            "seed": setting.seed,
            "steps": len(conversation.written),
            "counts": count_tools(unit.domain, conversation.messages, ()),
            "strategy": setting.strategy,
            "prompt_version": prompts.VERSION,
            "variant_version": variants.VERSION,
            "user_prompt_sha256": sha256(setting.user_prompt),
            "agent_prompt_sha256": sha256(setting.agent_prompt),
            **({"written": conversation.written} if setting.strategy in TEXT_STRATEGIES else {}),
        }

    def score(self, transcript: Mapping[str, Any]) -> Score:
        """Grade a transcript; raises ValueError where it is none."""
        parsed = parse_transcript(transcript)
        if parsed.task.domain not in DOMAINS:
            raise ValueError(f"unknown domain {parsed.task.domain!r} of tau-bench: known are {', '.join(DOMAINS)}")
        return score(parsed.task, parsed.termination_reason, parsed.messages)


def _setting(unit: Unit, spec: EvalRunSpec, scenario: Mapping[str, Any]) -> Setting:
    strategy = spec.benchmark.options.strategy or DEFAULT_STRATEGY
    seed = trial_seed(spec.seed, unit.trial)
    tools = tool_schemas(unit.domain, ASSISTANT)
    examples = build_examples(unit.domain, unit.task_id, seed) if strategy == "few-shot" else ""
    return Setting(
        agent_prompt=prompts.agent_prompt(dataset.policy(unit.domain), strategy, tools, examples),
        user_prompt=prompts.user_prompt(scenario, variants.mood(spec, unit.variant)),
        strategy=strategy,
        tools=tools,
        seed=seed,
        max_steps=spec.benchmark.options.max_steps or MAX_STEPS,
    )
