"""The pods of a run on this machine: one start of one index of a Job each, shown as the API would show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolorch_api.meta import LABEL_ATTEMPT, LABEL_STEP
from toolorch_api.shard import ENV_ATTEMPT, ExitCode
from toolorch_evaluator.cli.children import Child
from toolorch_operator.evalrun.observed import PodView, parse_last_word
from toolorch_operator.evalrun.pods import name_end, parse_running

# As Kubernetes reads it, from the end.
_MESSAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Origin:
    """What the pods of one Job have in common."""

    job: str
    step: str
    attempt: int
    """Attempt that they are, or report on; 0: planning."""

    @classmethod
    def parse(cls, manifest: Mapping[str, Any]) -> Origin:
        """Return it from a Job manifest."""
        labels = manifest["metadata"]["labels"]
        env = manifest["spec"]["template"]["spec"]["containers"][0]["env"]
        told = {entry["name"]: entry.get("value", "") for entry in env}
        return cls(manifest["metadata"]["name"], labels[LABEL_STEP], int(labels.get(LABEL_ATTEMPT, told[ENV_ATTEMPT])))


@dataclass(slots=True)
class LocalPod:
    """One start of one index of a Job."""

    origin: Origin
    name: str
    index: int
    word: Path
    """Its termination log."""
    child: Child
    code: int | None = None
    is_leaving: bool = False
    """Somebody stops it, or has."""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    finished_at: datetime | None = None

    @property
    def has_failed(self) -> bool:
        """Whether its end costs a retry; one that was stopped, or gave back its units on SIGTERM, costs none."""
        return self.code not in (None, ExitCode.OK, ExitCode.DRAINED) and not self.is_leaving

    def end(self, code: int) -> None:
        """Note its exit code."""
        self.code, self.finished_at = code, datetime.now(UTC)

    def view(self) -> PodView:
        """Show it as the API would."""
        word = self._read_word()
        phase = "Running" if self.code is None else "Succeeded" if self.code == ExitCode.OK else "Failed"
        return PodView(
            self.name,
            self.origin.job,
            self.origin.step,
            self.origin.attempt,
            phase,
            exit_code=self.code,
            message=parse_last_word(word, name_end(self.code)),
            index=self.index if self.origin.step == "shard" else None,
            running=parse_running(word),
            started_at=self.started_at,
            finished_at=self.finished_at,
            is_leaving=self.is_leaving,
        )

    def _read_word(self) -> str:
        """Return the last word of the program, as the kubelet would keep it."""
        if self.code is None or not self.word.exists():
            return ""
        return self.word.read_bytes()[-_MESSAGE_BYTES:].decode(errors="replace")
