"""From files to one run and its pools: every mistake becomes a sentence that names file, field and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolorch_api.evalrun import EvalRun
from toolorch_api.meta import API_VERSION
from toolorch_api.modelpool import ModelPool
from toolorch_api.sentences import explain
from toolorch_evaluator.cli import references
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.references import References
from toolorch_evaluator.cli.yaml_files import Document, read_documents

_KINDS: dict[str, type[EvalRun] | type[ModelPool]] = {"ModelPool": ModelPool, "EvalRun": EvalRun}
_OWN_NAMESPACE = "a run uses pools of its own namespace only"


@dataclass(frozen=True, slots=True)
class RunDocuments:
    """One run and the pools that its roles name, in the order of roles."""

    run: EvalRun
    pools: dict[str, ModelPool]
    references: References


@dataclass(frozen=True, slots=True)
class Read:
    """A valid document and where it stands."""

    document: Document
    model: EvalRun | ModelPool

    @property
    def identity(self) -> tuple[str, str, str]:
        """Kind, namespace and name."""
        return self.model.kind, self.model.metadata.namespace, self.model.metadata.name


def load_run(paths: Sequence[Path], name: str | None = None) -> RunDocuments:
    """Read a run and its pools from files; `name` chooses among several runs. Raises BadInputError."""
    documents = [document for path in paths for document in read_documents(path)]
    found = read_references([d for d in documents if is_reference(d)])
    read = validate([d for d in documents if not is_reference(d)])
    refuse_duplicates(read)
    chosen = _choose([r for r in read if isinstance(r.model, EvalRun)], name, paths)
    pools = pools_of(chosen, [r.model for r in read if isinstance(r.model, ModelPool)])
    assert isinstance(chosen.model, EvalRun)
    return RunDocuments(chosen.model, pools, found)


def is_reference(document: Document) -> bool:
    """Tell whether a document is a ConfigMap or a Secret."""
    value = document.value
    return isinstance(value, dict) and value.get("kind") in references.KINDS and value.get("apiVersion") == "v1"


def read_references(documents: Iterable[Document]) -> References:
    """Return the texts of ConfigMaps and Secrets; raises BadInputError."""
    texts: dict[tuple[str, str, str, str], str] = {}
    for document in documents:
        try:
            texts |= references.parse_reference(document.value)
        except ValueError as error:
            raise BadInputError([f"{document.at()}: {error}"]) from None
    return References(texts)


def validate(documents: Iterable[Document]) -> list[Read]:
    """Return the documents as what they are; raises BadInputError with a sentence for every mistake."""
    read: list[Read] = []
    sentences: list[str] = []
    for document in documents:
        mistakes = _mistakes_of_head(document)
        if not mistakes:
            model = _KINDS[document.value["kind"]]
            try:
                read.append(Read(document, model.model_validate(_without_status(document.value))))
            except ValidationError as error:
                mistakes = [placed(document, sentence) for sentence in explain(error, model)]
        sentences += mistakes
    if sentences:
        raise BadInputError(sentences)
    return read


def _mistakes_of_head(document: Document) -> list[str]:
    """Check what decides how the rest is read: kind and apiVersion."""
    value = document.value
    if not isinstance(value, dict):
        return [f"{document.at()}: a document is a mapping with apiVersion, kind, metadata and spec"]
    kind, version = value.get("kind"), value.get("apiVersion")
    if kind == "Sweep":
        return [f"{document.at('kind')}: this is a Sweep, which toolorch sweep takes"]
    if kind not in _KINDS:
        return [f"{document.at('kind')}: kind must be {' or '.join(_KINDS)}, not {kind!r}{meant(str(kind), _KINDS)}"]
    if version != API_VERSION:
        return [f"{document.at('apiVersion')}: apiVersion must be {API_VERSION}, not {version!r}"]
    return []


def _without_status(value: dict[str, Any]) -> dict[str, Any]:
    """Leave out the status that a document from `kubectl get -o yaml` carries."""
    return {key: part for key, part in value.items() if key != "status"}


def placed(document: Document, sentence: str) -> str:
    """Put file, line, kind and name before a sentence; its first word is the field's path."""
    metadata = document.value.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    subject = f"{document.value['kind']} {name}".strip()
    return f"{document.at(sentence.split()[0].rstrip(':;'))}: {subject}: {sentence}"


def refuse_duplicates(read: Sequence[Read]) -> None:
    """Raise BadInputError where two documents are of one kind, namespace and name."""
    first: dict[tuple[str, str, str], Read] = {}
    sentences = []
    for each in read:
        kind, _, name = each.identity
        if each.identity in first:
            before = first[each.identity].document.at()
            sentences.append(f"{each.document.at('metadata.name')}: {kind} {name} is already defined at {before}")
        first.setdefault(each.identity, each)
    if sentences:
        raise BadInputError(sentences)


def _choose(runs: Sequence[Read], name: str | None, paths: Sequence[Path]) -> Read:
    names = [r.model.metadata.name for r in runs]
    where = ", ".join(map(str, paths))
    if not runs:
        raise BadInputError([f"{where}: no EvalRun document; a run needs exactly one"])
    if name is not None and name not in names:
        raise BadInputError([f"--name: no EvalRun {name} in {where}{meant(name, names)} (there: {', '.join(names)})"])
    if name is None and len(runs) > 1:
        raise BadInputError([f"{where}: {len(runs)} EvalRun documents; choose one with --name: {', '.join(names)}"])
    return runs[0] if name is None else runs[names.index(name)]


def pools_of(chosen: Read, pools: Sequence[ModelPool]) -> dict[str, ModelPool]:
    """Return the pools that a run's roles name, in the order of roles; raises BadInputError where one is missing."""
    run = chosen.model
    assert isinstance(run, EvalRun)
    namespace = run.metadata.namespace
    by_name = {p.metadata.name: p for p in pools if p.metadata.namespace == namespace}
    elsewhere = {p.metadata.name: p.metadata.namespace for p in pools if p.metadata.namespace != namespace}
    sentences = []
    for role, played in run.spec.roles.by_name().items():
        field = f"spec.roles.{role}.pool" if role in ("agent", "user", "judge") else f"spec.roles.experts.{role}.pool"
        if played.pool in by_name:
            continue
        if played.pool in elsewhere:
            why = f"ModelPool {played.pool} is in namespace {elsewhere[played.pool]}, and {_OWN_NAMESPACE}"
        else:
            why = f"there is no ModelPool {played.pool} in the files{meant(played.pool, by_name)}"
            why += f" (there: {', '.join(by_name) or 'none'})"
        sentences.append(f"{chosen.document.at(field)}: EvalRun {run.metadata.name}: {field}: {why}")
    if sentences:
        raise BadInputError(sentences)
    return {name: by_name[name] for name in run.spec.roles.pools()}


def meant(name: str, known: Iterable[str]) -> str:
    """Return the known name that a misspelt one is close to, as the end of a sentence; empty: none."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
