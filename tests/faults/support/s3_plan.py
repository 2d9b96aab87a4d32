"""Plans of storage faults, as data: what goes wrong at which request. They are written to JSON and replayed from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

OPERATOR, PLAN, SHARD, REPORT = "operator", "plan", "shard", "report"
"""Who asks: the operator, or the step that a pod runs."""

_KINDS = (
    (r"manifest\.json", "manifest"),
    (r"run\.json", "run"),
    (r"prompts\.json", "prompts"),
    (r"provenance\.json", "provenance"),
    (r"results/.*", "results"),
    (r"errors/.*", "errors"),
    (r"transcripts/.*", "transcripts"),
    (r"progress/.*", "progress"),
    (r"deaths/.*", "deaths"),
    (r"report/.*", "report"),
    (r"probe/.*", "probe"),
    (r"claims/\d+/\d+/probe/.*", "probe"),
    (r"claims/\d+/\d+/left/.*", "left"),
    (r"claims/\d+/\d+/finished/.*", "finished"),
    (r"claims/.*", "claims"),
    (r"attempts/\d+/assignment\.json", "assignment"),
    (r"attempts/\d+/provenance\.json", "attempt-provenance"),
    (r"attempts/.*/events\.jsonl\.zst", "events"),
    (r"attempts/.*/exit\.json", "exit"),
    (r"attempts/.*/pod\.log", "log"),
    (r"attempts/.*", "attempts"),
)


def name_kind(key: str) -> str:
    """Return what an object of a run is, by its key below the run's folder."""
    return next((kind for pattern, kind in _KINDS if re.fullmatch(pattern, key)), "durations")


@dataclass(frozen=True)
class Fault:
    """What goes wrong, from the nth request of a signature on."""

    signature: str
    """Who asks, what (CREATE is a PUT with If-None-Match: *, LIST a GET of the bucket), and for what kind of object."""
    occurrence: int
    """From 1."""
    action: str
    """A name in s3_actions.ACTIONS."""
    times: int = 1
    """Requests of the signature that it happens to."""
    seconds: float = 0.0
    """Of an outage: for how long nobody is answered."""

    @property
    def operation(self) -> str:
        """CREATE, PUT, GET, HEAD, LIST or DELETE."""
        return self.signature.split()[1]


@dataclass(frozen=True)
class StoragePlan:
    """A run and what goes wrong while it runs."""

    faults: tuple[Fault, ...] = ()
    workload: str = "run"
    """run: from its creation to its verdict. report: a finished run's report. twice: a run whose pods run twice each.
    """
    patience: float = 120.0
    """Seconds that a pod waits for storage; 300 where nothing says otherwise."""
    retries: int = 3
    """spec.retry.infra."""
    seed: int = 0
    found: str = ""
    """What it found when it failed."""

    @property
    def name(self) -> str:
        """A sentence: the plan's id."""
        whats = [
            f"{f.action} at {f.signature} {f.occurrence}" + (f" x{f.times}" if f.times > 1 else "") for f in self.faults
        ]
        return f"{self.workload}: {', '.join(whats) or 'nothing goes wrong'}"

    def to_json(self) -> str:
        """Return the plan as a JSON document."""
        return json.dumps(asdict(self), indent=1) + "\n"


def parse_plan(document: Mapping[str, Any]) -> StoragePlan:
    """Return the plan that a JSON document holds."""
    faults = tuple(Fault(**fault) for fault in document["faults"])
    return StoragePlan(**{**document, "faults": faults})
