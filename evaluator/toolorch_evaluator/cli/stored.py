"""Runs that are stored already, by what a person calls them: a name below the output folder, a folder, or a URI."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from toolorch_api.conditions import RunCondition, is_true
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_api.keys import MANIFEST_KEY, SUMMARY_KEY
from toolorch_api.run_input import Baseline
from toolorch_evaluator.cli.folder import STATUS_FILE

_UID = re.compile(r"-[0-9a-f]{8}")


def find_run(text: str, output: Path, besides: Path | None = None) -> str:
    """Return the URI of a stored run; of several with a name the newest, `besides` left out. Raises ValueError."""
    if "://" in text and urlsplit(text).scheme != "file":
        return text.rstrip("/")
    folder = Path(unquote(urlsplit(text).path)) if "://" in text else Path(text)
    if _is_run(folder):
        return folder.resolve().as_uri()
    if folder.is_dir() or "/" in text:
        raise ValueError(f"{text}: no run is stored there (there is no {MANIFEST_KEY})")
    named = [f for f in output.glob(f"{text}-*") if _UID.fullmatch(f.name[len(text) :]) and _is_run(f)]
    found = [f.resolve() for f in named if besides is None or f.resolve() != besides.resolve()]
    if not found:
        raise ValueError(f"there is no {'other ' if named else ''}run {text} in {output}")
    return max(found, key=lambda f: (f / MANIFEST_KEY).stat().st_mtime).as_uri()


def find_baseline(run: EvalRun, own: Path) -> Baseline | None:
    """Return what a run's gate compares with; None without a gate. `own` is the run's folder, beside which it looks."""
    gate = run.spec.gate
    if gate is None:
        return None
    try:
        root = find_run(gate.baseline, own.parent, own)
    except ValueError as error:
        return Baseline(name=gate.baseline, problem=str(error))
    path = as_path(root)
    if path is not None and not _is_complete(path):
        return Baseline(name=gate.baseline, problem=f"the run in {path} is not complete")
    return Baseline(name=gate.baseline, root=root)


def as_path(uri: str) -> Path | None:
    """Return the folder of a file URI; None for object storage."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _is_run(folder: Path) -> bool:
    return (folder / MANIFEST_KEY).is_file()


def _is_complete(folder: Path) -> bool:
    """Whether a run has reached its verdict; a copy from a cluster has no status, but a report."""
    try:
        status = EvalRunStatus.model_validate_json((folder / STATUS_FILE).read_bytes())
    except FileNotFoundError:
        return (folder / SUMMARY_KEY).is_file()
    except ValidationError:
        return False
    return is_true(status.conditions, RunCondition.COMPLETE)
