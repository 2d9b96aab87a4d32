"""The packaged files of τ²-bench: tasks, splits, policies and databases, read without importing their package.

Tasks keep the order of their file, which is the order in which upstream runs them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from toolorch_evaluator.benchmarks.tau2.packaged import package_folder
from toolorch_evaluator.benchmarks.tau2.task import Task, parse_task

MANUAL, WORKFLOW = "manual", "workflow"
# retail first: where no domain is named, this is the order of work, as in the README of τ²-bench's fork ToolOrchestra.
DOMAINS = ("retail", "airline", "telecom")
"""What a run is over that names no domain."""
KNOWN = (*DOMAINS, "mock")
TASKS = {"retail": "tasks.json", "airline": "tasks.json", "telecom": "tasks.json.gz", "mock": "tasks.json"}
POLICIES = {
    "retail": ("policy.txt",),
    "airline": ("policy.txt",),
    "telecom": ("main_policy.txt", "tech_support_manual.txt"),
    "mock": ("policy.md",),
}
# Other forms of a policy: of technical support as a workflow, and for an agent that works alone. As upstream has it, an
# agent alone reads the same manual as any other.
POLICY_FORMS = {
    ("telecom", WORKFLOW, False): ("main_policy.txt", "tech_support_workflow.txt"),
    ("telecom", WORKFLOW, True): ("main_policy_solo.txt", "tech_support_workflow_solo.txt"),
    ("telecom", MANUAL, True): ("main_policy_solo.txt", "tech_support_manual.txt"),
    ("mock", MANUAL, True): ("policy_solo.md",),
}
DATABASES = {
    "retail": ("db.json.gz",),
    "airline": ("db.json.gz",),
    "telecom": ("db.toml", "user_db.toml"),
    "mock": ("db.json",),
}


def check_domain(domain: str) -> str:
    """Return the domain; raises ValueError with the known ones."""
    if domain not in KNOWN:
        raise ValueError(f"unknown domain {domain!r} of tau2: known are {', '.join(KNOWN)}")
    return domain


def read(domain: str, name: str) -> bytes:
    """Return a domain's file, decompressed."""
    raw = (package_folder() / "data" / "domains" / domain / name).read_bytes()
    return gzip.decompress(raw) if name.endswith(".gz") else raw


def read_database(domain: str, name: str) -> dict[str, Any]:
    """Return a database file as plain values."""
    text = read(domain, name).decode()
    loaded: dict[str, Any] = tomllib.loads(text) if name.endswith(".toml") else json.loads(text)
    return loaded


@cache
def tasks(domain: str) -> dict[str, Task]:
    """Return all tasks of a domain by id, in the order of its file."""
    rows = json.loads(read(check_domain(domain), TASKS[domain]))
    return {row["id"]: parse_task(domain, row) for row in rows}


def task(domain: str, task_id: str) -> Task:
    """Return one task; raises ValueError for an unknown domain or id."""
    found = tasks(domain).get(task_id)
    if found is None:
        raise ValueError(f"unknown task {task_id!r} of {domain}: {_sample(tasks(domain))}")
    return found


@cache
def splits(domain: str) -> dict[str, tuple[str, ...]]:
    """Return the named splits of a domain, each with its task ids in the order of the task file."""
    named = json.loads(read(check_domain(domain), "split_tasks.json"))
    order = list(tasks(domain))
    return {name: tuple(i for i in order if i in members) for name, members in _as_sets(named)}


def select(domain: str, split: str, task_ids: Sequence[str], count: int | None) -> tuple[str, ...]:
    """Return the ids of a split's tasks that a run is over: the named ones, or the first `count`, or all."""
    named = splits(domain)
    if split not in named:
        raise ValueError(f"unknown split {split!r} of {domain}: known are {', '.join(named)}")
    return tuple(i for i in named[split] if i in set(task_ids)) if task_ids else named[split][:count]


@cache
def policy(domain: str, form: str = MANUAL, solo: bool = False) -> str:
    """Return the policy that the agent must keep; telecom's two documents are marked as such. Raises ValueError."""
    texts = [read(domain, name).decode() for name in policy_files(domain, form, solo)]
    if len(texts) == 1:
        return texts[0]
    main, support = texts
    return f"<main_policy>\n{main}\n</main_policy>\n<tech_support_policy>\n{support}\n</tech_support_policy>"


def policy_files(domain: str, form: str = MANUAL, solo: bool = False) -> tuple[str, ...]:
    """Return the names of a policy's files; raises ValueError where there is none for an agent that works alone.

    The form is that of technical support, which telecom alone has.
    """
    key = (domain, form if domain == "telecom" else MANUAL, solo)
    if key == (domain, MANUAL, False):
        return POLICIES[domain]
    if key not in POLICY_FORMS:
        raise ValueError(f"{domain} has no policy for an agent that works alone: solo is for telecom and mock")
    return POLICY_FORMS[key]


def dataset_hash(domains: Iterable[str], form: str = MANUAL, solo: bool = False) -> str:
    """Return the sha256 over every file of the domains that a result depends on."""
    digest = hashlib.sha256()
    for domain in sorted(domains):
        for name in (TASKS[domain], "split_tasks.json", *policy_files(domain, form, solo), *DATABASES[domain]):
            digest.update(f"{domain}/{name}\n".encode())
            digest.update(hashlib.sha256(read(domain, name)).digest())
    return digest.hexdigest()


def _as_sets(named: dict[str, list[str]]) -> list[tuple[str, frozenset[str]]]:
    return [(name, frozenset(ids)) for name, ids in named.items()]


def _sample(known: dict[str, Task]) -> str:
    some = ", ".join(repr(i) for i in list(known)[:3])
    return f"its {len(known)} tasks are named like {some}"
