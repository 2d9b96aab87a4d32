"""A run's units over packaged tasks, for the benchmarks that share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks import variants
from toolorch_evaluator.benchmarks.base import Listing
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.task import Task

Policy = tuple[str, bool]
"""Form of the policy, and whether it is for an agent that works alone."""


def list_units(
    spec: EvalRunSpec, domains: Sequence[str], check: Callable[[EvalRunSpec, Sequence[Task]], Policy] | None = None
) -> Listing:
    """List variant by variant, domain by domain, task by task, trial by trial; raises ValueError.

    `check` may refuse the tasks, and says which policy they are done under.
    """
    wanted = spec.benchmark
    for variant in spec.variant_names:
        variants.mood(spec, variant)
    ids = {
        d: dataset.select(d, wanted.split, wanted.task_ids, wanted.num_tasks)
        for d in map(dataset.check_domain, domains)
    }
    strangers = [i for i in wanted.task_ids if not any(i in known for known in ids.values())]
    if strangers:
        raise ValueError(
            f"unknown task {strangers[0]!r}: not in split {wanted.split!r} of {', '.join(domains)};"
            f" its tasks are named like {_samples(domains, wanted.split)}"
        )
    tasks = [dataset.task(domain, task_id) for domain in ids for task_id in ids[domain]]
    policy = check(spec, tasks) if check is not None else (dataset.MANUAL, False)
    units = tuple(
        Unit(variant, task.domain, task.id, trial)
        for variant in spec.variant_names
        for task in tasks
        for trial in range(spec.trials)
    )
    return Listing(units, dataset.dataset_hash(domains, *policy), tuple(_weigh(unit) for unit in units))


def _weigh(unit: Unit) -> float:
    """Expect a turn for each reference action, and some talk around them in any task."""
    criteria = dataset.task(unit.domain, unit.task_id).criteria
    return 1.0 + len((criteria.actions if criteria is not None else None) or ())


def _samples(domains: Sequence[str], split: str) -> str:
    return ", ".join(repr(dataset.splits(d)[split][0]) for d in domains)
