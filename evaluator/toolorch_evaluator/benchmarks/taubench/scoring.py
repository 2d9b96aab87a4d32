"""The reward of a τ-bench transcript: the database as after the reference actions, and every output spoken.

Source: tau_bench/envs/base.py calculate_reward; pass^k is computed over trials in the report.
"""

from __future__ import annotations

from collections.abc import Sequence

from toolorch_evaluator.benchmarks.base import Score
from toolorch_evaluator.benchmarks.tau2 import scoring as tau2
from toolorch_evaluator.benchmarks.tau2.message import Message
from toolorch_evaluator.benchmarks.tau2.task import Criteria, Task


def score(task: Task, termination_reason: str, messages: Sequence[Message]) -> Score:
    """Grade a transcript; its parts are DB and, where the task has outputs, COMMUNICATE.

    A conversation that did not come to its end within the steps is worth 0.
    """
    given = task.criteria
    actions = (given.actions if given is not None else None) or ()
    outputs = given.communicate if given is not None else ()
    basis = frozenset(["DB", "COMMUNICATE"] if outputs else ["DB"])
    criteria = Criteria(basis, tuple(actions), None, outputs)
    v1 = Task(task.domain, task.id, task.scenario, task.updates, task.initial_calls, (), criteria)
    return tau2.score(v1, termination_reason, messages)
