"""What a conversation is held under, made from the spec: prompts, seed and limits; and which options fit together."""

from __future__ import annotations

from collections.abc import Sequence

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks import variants
from toolorch_evaluator.benchmarks.seeds import trial_seed
from toolorch_evaluator.benchmarks.tau2 import dataset, prompts
from toolorch_evaluator.benchmarks.tau2.alone import check_solo
from toolorch_evaluator.benchmarks.tau2.conversation import MAX_ERRORS, MAX_STEPS, Setting
from toolorch_evaluator.benchmarks.tau2.experts import describe_experts
from toolorch_evaluator.benchmarks.tau2.message import USER
from toolorch_evaluator.benchmarks.tau2.rules import V1, rules_of
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas
from toolorch_evaluator.benchmarks.tau2.scoring import NL_ASSERTION
from toolorch_evaluator.benchmarks.tau2.task import Task


def check_options(spec: EvalRunSpec, tasks: Sequence[Task]) -> tuple[str, bool]:
    """Return the policy's form and whether the agent works alone; raises ValueError for what does not fit the tasks."""
    form, solo = _policy_form(spec)
    _check_profile(spec, tasks)
    domains = {task.domain for task in tasks}
    if form == dataset.WORKFLOW and "telecom" not in domains:
        raise ValueError("options.policy workflow is for telecom, and the run is not over it")
    for domain in sorted(domains):
        dataset.policy_files(domain, form, solo)
    if solo:
        for task in tasks:
            check_solo(task)
    judged = [t for t in tasks if t.criteria is not None and NL_ASSERTION in t.criteria.basis and t.criteria.statements]
    if (judged or spec.benchmark.options.judge_assertions) and spec.roles.judge is None:
        why = f"task {judged[0].id!r} of {judged[0].domain}" if judged else "options.judgeAssertions"
        raise ValueError(f"{why} is graded by a judge: set roles.judge")
    return form, solo


def build_setting(unit: Unit, spec: EvalRunSpec, task: Task) -> Setting:
    """Return what a unit's conversation is held under."""
    options = spec.benchmark.options
    form, solo = _policy_form(spec)
    policy = dataset.policy(unit.domain, form, solo)
    experts = describe_experts(spec)
    return Setting(
        agent_prompt=_agent_prompt(policy, task, solo, leads_experts=bool(experts)),
        user_prompt="" if solo else _user_prompt(spec, unit, task),
        seed=trial_seed(spec.seed, unit.trial),
        max_steps=options.max_steps or MAX_STEPS,
        max_errors=options.max_errors or MAX_ERRORS,
        solo=solo,
        experts=experts,
        expert_prompt=_agent_prompt(policy, task, solo, leads_experts=False),
        rules=rules_of(options.profile),
    )


def _policy_form(spec: EvalRunSpec) -> tuple[str, bool]:
    return spec.benchmark.options.policy or dataset.MANUAL, bool(spec.benchmark.options.solo)


def _agent_prompt(policy: str, task: Task, solo: bool, *, leads_experts: bool) -> str:
    if solo:
        return prompts.solo_prompt(policy, task.ticket, leads_experts=leads_experts)
    return prompts.agent_prompt(policy, leads_experts=leads_experts)


def _user_prompt(spec: EvalRunSpec, unit: Unit, task: Task) -> str:
    has_tools = bool(tool_schemas(unit.domain, USER))
    return prompts.user_prompt(task.scenario, variants.mood(spec, unit.variant), has_tools=has_tools)


def _check_profile(spec: EvalRunSpec, tasks: Sequence[Task]) -> None:
    if spec.benchmark.options.profile != V1:
        return
    # The packaged tasks of these domains are those of v0.2; v1 edited their texts, actions and reward basis. Telecom's
    # are the same in both, and mock's are v1's already.
    older = sorted({task.domain for task in tasks} & {"retail", "airline"})
    if older:
        raise ValueError(
            f"profile tau2-v1 has no data for {' and '.join(older)} here: take tau2-v0.2, or telecom and mock"
        )
