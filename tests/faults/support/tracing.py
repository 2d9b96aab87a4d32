"""What went through the proxy, one record per request and per line of a watch: the planner and the oracles read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True, slots=True)
class Record:
    """One request with its answer, or one line of a watch (`verb` is then its type).

    `t` counts seconds from the proxy's start. `status` 0: no answer of the API server. `effective`: a write that
    changed its object. `answer` is what the API server returned for an effective write. `fault` is what was done to it.
    """

    seq: int
    t: float
    verb: str
    key: str
    signature: str
    status: int = 0
    rv_before: str = ""
    rv_after: str = ""
    effective: bool = False
    digest: str = ""
    agent: str = ""
    reconcile: str = ""
    fault: str = ""
    answer: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None


class Trace:
    """Records in their order; `path` gets them as JSON lines, as they come."""

    def __init__(self, path: Path | None = None) -> None:
        self.records: list[Record] = []
        self._file: TextIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w")

    def add(self, **said: Any) -> Record:
        """Add one record."""
        record = Record(seq=len(self.records), **said)
        self.records.append(record)
        if self._file is not None:
            full = {name: value for name, value in asdict(record).items() if value not in ("", None)}
            self._file.write(json.dumps(full) + "\n")
            self._file.flush()
        return record

    def effective(self) -> list[Record]:
        """Return the writes that changed something."""
        return [record for record in self.records if record.effective]

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None
