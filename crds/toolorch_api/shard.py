"""What the operator and a run's pods promise each other: input, exit codes, results, progress.

Storage is the only truth about finished work; every name here is a function of identity, so that a second writer
writes the same thing to the same place.
"""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum

from pydantic import Field

from toolorch_api.evalrun_status import Usage
from toolorch_api.meta import StatusModel
from toolorch_api.result import SCHEMA_VERSION, Result, UnitStatus
from toolorch_api.run_input import Baseline, Endpoint, Endpoints, PoolInput, RunInput, Serving
from toolorch_api.summary import GateOutcome, Summary
from toolorch_api.unit import Unit, slug

# Environment and files of a run's pods. INPUT_DIR/run.json is a RunInput; INPUT_DIR/pools/<pool>/endpoints.json is the
# pool's Endpoints, re-read while running; INPUT_DIR/keys/<pool> holds an external pool's key.
ENV_INPUT_DIR = "TOOLORCH_INPUT_DIR"
ENV_ATTEMPT = "TOOLORCH_ATTEMPT"
ENV_SHARD = "TOOLORCH_SHARD"
ENV_POD = "TOOLORCH_POD"
INPUT_DIR = "/etc/toolorch"
TERMINATION_LOG = "/dev/termination-log"
ENV_TERMINATION_LOG = "TOOLORCH_TERMINATION_LOG"


class ExitCode(IntEnum):
    """Exit codes of evaluator pods: across the process border the code is the type."""

    OK = 0
    INFRA = 1
    """Something broke; the same pod may be tried again."""
    BAD_INPUT = 42
    """The spec or dataset cannot work; trying again is of no use."""
    DRAINED = 44
    """SIGTERM came before the end; what is missing stays missing."""


class Manifest(StatusModel):
    """manifest.json: all units of a run, in order; assignments refer to their indexes."""

    v: int = SCHEMA_VERSION
    spec_hash: str
    dataset_hash: str
    units: list[tuple[str, str, str, int]]
    """(variant, domain, task id, trial) each."""
    estimates: list[float] = Field(default_factory=list)
    """Expected length of each unit; only their ratios count. Empty: nobody knows."""

    def unit(self, index: int) -> Unit:
        """Return the unit at an index of the manifest."""
        return Unit(*self.units[index])


class Assignment(StatusModel):
    """attempts/<attempt>/assignment.json: the units of each shard, as indexes into the manifest."""

    v: int = SCHEMA_VERSION
    spec_hash: str
    attempt: int
    shards: list[list[int]]


class Claim(StatusModel):
    """claims/<attempt>/<group>/<block>.<generation>.json: who works on a block of units."""

    v: int = SCHEMA_VERSION
    spec_hash: str
    shard: int
    pod: str


class Durations(StatusModel):
    """durations/<benchmark>/<run folder>.json, beside the runs: seconds that a run's tasks took."""

    v: int = SCHEMA_VERSION
    seconds: dict[str, float]
    """Median over the task's units, by `<domain>/<task id>`."""


class Progress(StatusModel):
    """progress/<attempt>-<shard>.json: how far a shard is with its units; overwritten."""

    v: int = SCHEMA_VERSION
    spec_hash: str
    attempt: int
    shard: int
    pod: str
    total: int
    passed: int = 0
    failed: int = 0
    infra_errors: int = 0
    running: int = 0
    usage: Usage = Usage()
    recent_ends: list[datetime] = Field(default_factory=list)
    """When the last units ended (at most 32): the pace that the ETA comes from."""
    recent_seconds: list[float] = Field(default_factory=list)
    """How long the last units took (at most 32)."""
    last_answer_at: datetime | None = None
    """When a model last answered."""
    open_files: int = 0
    """Most file descriptors that the shard had open."""
    started_at: datetime
    updated_at: datetime
    finished: bool = False

    @property
    def done(self) -> int:
        """Units with a final outcome."""
        return self.passed + self.failed


__all__ = [
    "SCHEMA_VERSION",
    "Assignment",
    "Baseline",
    "Endpoint",
    "Endpoints",
    "ExitCode",
    "GateOutcome",
    "Manifest",
    "PoolInput",
    "Progress",
    "Result",
    "RunInput",
    "Serving",
    "Summary",
    "Unit",
    "UnitStatus",
    "slug",
]
