"""What a task's author expects of it: for scripted models that play a task by heart, never for graded ones.

Reads task files only, so it is cheap and starts no environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from toolorch_api.unit import slug
from toolorch_evaluator.benchmarks.tau2.dataset import task, tasks
from toolorch_evaluator.benchmarks.tau2.prompts import GREETING


@dataclass(frozen=True, slots=True)
class ReferenceAction:
    """One reference call; `requestor` is assistant or user."""

    name: str
    arguments: Mapping[str, Any]
    requestor: str


@dataclass(frozen=True, slots=True)
class Reference:
    """A task's reference actions in order, the texts that must be told to the user, and the agent's fixed greeting."""

    actions: tuple[ReferenceAction, ...]
    communicate: tuple[str, ...]
    greeting: str


def reference(domain: str, task_id: str) -> Reference:
    """Return the reference of a task; raises ValueError for an unknown domain or task."""
    criteria = task(domain, task_id).criteria
    if criteria is None:
        return Reference((), (), GREETING)
    actions = tuple(ReferenceAction(a.name, a.arguments, a.requestor) for a in criteria.actions or ())
    return Reference(actions, criteria.communicate, GREETING)


def task_id_of_slug(domain: str, task_slug: str) -> str:
    """Return the id of the task whose slug, as in object keys and request ids, this is; raises ValueError if none."""
    found = _ids_by_slug(domain).get(task_slug)
    if found is None:
        raise ValueError(f"no task of {domain} has the slug {task_slug!r}")
    return found


@cache
def _ids_by_slug(domain: str) -> dict[str, str]:
    return {slug(task_id): task_id for task_id in tasks(domain)}
