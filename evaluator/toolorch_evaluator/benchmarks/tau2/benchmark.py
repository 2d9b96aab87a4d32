"""τ²-bench as the runner knows it: its units, a unit's conversation, a transcript's score."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks import variants
from toolorch_evaluator.benchmarks.base import Ask, Listing, Score
from toolorch_evaluator.benchmarks.tau2 import dataset, prompts
from toolorch_evaluator.benchmarks.tau2.conversation import MAX_ERRORS, MAX_STEPS, Conversation, Setting
from toolorch_evaluator.benchmarks.tau2.message import USER
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas
from toolorch_evaluator.benchmarks.tau2.scoring import score
from toolorch_evaluator.benchmarks.tau2.transcript import dump_transcript, parse_transcript

# Upstream's range of trial seeds.
MAX_SEED = 1_000_000


class Tau2:
    """The benchmark `tau2`, by the rules of τ²-bench v0.2.0."""

    name = "tau2"

    def list_units(self, spec: EvalRunSpec) -> Listing:
        """List variant by variant, domain by domain, task by task, trial by trial; raises ValueError."""
        wanted = spec.benchmark
        for variant in spec.variant_names:
            variants.mood(spec, variant)
        domains = [dataset.check_domain(d) for d in wanted.domains or dataset.DOMAINS]
        ids = {d: dataset.select(d, wanted.split, wanted.task_ids, wanted.num_tasks) for d in domains}
        strangers = [i for i in wanted.task_ids if not any(i in known for known in ids.values())]
        if strangers:
            raise ValueError(
                f"unknown task {strangers[0]!r}: not in split {wanted.split!r} of {', '.join(domains)};"
                f" its tasks are named like {_samples(domains, wanted.split)}"
            )
        units = tuple(
            Unit(variant, domain, task_id, trial)
            for variant in spec.variant_names
            for domain in domains
            for task_id in ids[domain]
            for trial in range(spec.trials)
        )
        return Listing(units, dataset.dataset_hash(domains), tuple(_weigh(unit) for unit in units))

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
            "steps": conversation.steps,
            "prompt_version": prompts.VERSION,
            "variant_version": variants.VERSION,
            "user_prompt_sha256": prompts.sha256(setting.user_prompt),
            "agent_prompt_sha256": prompts.sha256(setting.agent_prompt),
        }

    def score(self, transcript: Mapping[str, Any]) -> Score:
        """Grade a transcript; raises ValueError where it is none."""
        parsed = parse_transcript(transcript)
        return score(parsed.task, parsed.termination_reason, parsed.messages)


def trial_seed(seed: int, trial: int) -> int:
    """Return the seed of a trial, counted from 0: drawn as upstream draws it, so equal runs meet equal seeds."""
    drawn = random.Random(seed)
    return [drawn.randint(0, MAX_SEED) for _ in range(trial + 1)][trial]


def _weigh(unit: Unit) -> float:
    """Expect a turn for each reference action, and some talk around them in any task."""
    criteria = dataset.task(unit.domain, unit.task_id).criteria
    return 1.0 + len((criteria.actions if criteria is not None else None) or ())


def _setting(unit: Unit, spec: EvalRunSpec, scenario: Mapping[str, Any]) -> Setting:
    options = spec.benchmark.options
    has_tools = bool(tool_schemas(unit.domain, USER))
    return Setting(
        agent_prompt=prompts.agent_prompt(dataset.policy(unit.domain)),
        user_prompt=prompts.user_prompt(scenario, variants.mood(spec, unit.variant), has_tools=has_tools),
        seed=trial_seed(spec.seed, unit.trial),
        max_steps=options.max_steps or MAX_STEPS,
        max_errors=options.max_errors or MAX_ERRORS,
    )


def _samples(domains: list[str], split: str) -> str:
    return ", ".join(repr(dataset.splits(d)[split][0]) for d in domains)
