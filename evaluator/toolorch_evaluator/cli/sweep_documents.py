"""From files to the runs of a Sweep: every mistake of every run becomes a sentence, before anything starts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolorch_api.evalrun import EvalRun
from toolorch_api.meta import API_VERSION
from toolorch_api.modelpool import ModelPool
from toolorch_api.sentences import explain
from toolorch_evaluator.cli.documents import (
    is_reference,
    placed,
    pools_of,
    read_references,
    refuse_duplicates,
    validate,
)
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.references import References
from toolorch_evaluator.cli.sweep_matrix import (
    KIND,
    Assignment,
    Sweep,
    describe,
    expand,
    fill,
    find_mistakes,
    name_runs,
)
from toolorch_evaluator.cli.yaml_files import Document, read_documents


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One run of a sweep."""

    assignment: Assignment
    manifest: dict[str, Any]
    """As it is applied on a cluster: nothing in it but what the Sweep says."""
    run: EvalRun
    pools: dict[str, ModelPool]
    """Those of its roles, in their order; empty where the files need not hold them."""


@dataclass(frozen=True, slots=True)
class SweepDocuments:
    """A sweep's runs in the order of its matrix."""

    sweep: Sweep
    namespace: str
    """The Sweep's own; empty: it names none."""
    runs: tuple[SweepRun, ...]
    references: References


def load_sweep(paths: Sequence[Path], *, with_pools: bool) -> SweepDocuments:
    """Read a Sweep and expand it; `with_pools` says that the files must hold the pools. Raises BadInputError."""
    documents = [document for path in paths for document in read_documents(path)]
    found = read_references([d for d in documents if is_reference(d)])
    sweeps = [d for d in documents if _kind(d) == KIND]
    pools = _read_pools([d for d in documents if not is_reference(d) and _kind(d) != KIND])
    if len(sweeps) != 1:
        where = ", ".join(map(str, paths))
        raise BadInputError([f"{where}: {len(sweeps) or 'no'} Sweep documents; the command needs exactly one"])
    sweep = _read_sweep(sweeps[0])
    runs = _expand(sweeps[0], sweep, pools, with_pools)
    return SweepDocuments(sweep, sweeps[0].value["metadata"].get("namespace", ""), runs, found)


def _kind(document: Document) -> str:
    return str(document.value.get("kind")) if isinstance(document.value, dict) else ""


def _read_pools(documents: Sequence[Document]) -> list[ModelPool]:
    strangers = [d for d in documents if _kind(d) != "ModelPool"]
    if strangers:
        raise BadInputError(
            [f"{d.at('kind')}: kind must be {KIND} or ModelPool, not {_kind(d) or None!r}" for d in strangers]
        )
    read = validate(documents)
    refuse_duplicates(read)
    return [each.model for each in read if isinstance(each.model, ModelPool)]


def _read_sweep(document: Document) -> Sweep:
    version = document.value.get("apiVersion")
    if version != API_VERSION:
        raise BadInputError([f"{document.at('apiVersion')}: apiVersion must be {API_VERSION}, not {version!r}"])
    try:
        sweep = Sweep.model_validate(document.value)
    except ValidationError as error:
        raise BadInputError([placed(document, sentence) for sentence in explain(error, Sweep)]) from None
    mistakes = find_mistakes(sweep)
    if mistakes:
        raise BadInputError([placed(document, sentence) for sentence in mistakes])
    return sweep


def _expand(document: Document, sweep: Sweep, pools: Sequence[ModelPool], with_pools: bool) -> tuple[SweepRun, ...]:
    assignments = expand(sweep)
    runs: list[SweepRun] = []
    wrong: dict[str, list[Assignment]] = {}
    for assignment, name in zip(assignments, name_runs(sweep.metadata.name, assignments), strict=True):
        manifest = {
            "apiVersion": API_VERSION,
            "kind": "EvalRun",
            "metadata": {**document.value["metadata"], "name": name},
            "spec": fill(sweep.spec, assignment),
        }
        try:
            (read,) = validate([Document(document.path, document.node, manifest)])
            assert isinstance(read.model, EvalRun)
            runs.append(SweepRun(assignment, manifest, read.model, pools_of(read, pools) if with_pools else {}))
        except BadInputError as error:
            for sentence in error.sentences:
                # The run's name is replaced by its assignment: the same mistake of many runs is told once.
                wrong.setdefault(sentence.replace(f"EvalRun {name}: ", "", 1), []).append(assignment)
    if wrong:
        raise BadInputError([f"{sentence} ({_which(runs)})" for sentence, runs in wrong.items()])
    return tuple(runs)


def _which(assignments: Sequence[Assignment]) -> str:
    more = f"; and {len(assignments) - 1} more" if len(assignments) > 1 else ""
    return f"{describe(assignments[0])}{more}"


def pools_used(runs: Iterable[SweepRun]) -> list[str]:
    """Return the names of all pools that the runs use, each once."""
    return list(dict.fromkeys(pool for each in runs for pool in each.run.spec.roles.pools()))


def refuse_unknown_pools(option: str, named: Collection[str], runs: Sequence[SweepRun]) -> None:
    """Raise BadInputError where an option names a pool that no run uses."""
    known = pools_used(runs)
    unknown = [name for name in named if name not in known]
    if unknown:
        raise BadInputError([f"{option}: no run has a pool {unknown[0]}; their pools are {', '.join(known)}"])
