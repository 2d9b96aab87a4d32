"""What a fetching pod tells of itself: progress in its log, size and cause of failure in its last word. PURE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolorch_operator.modelpool.observed import JobView
from toolorch_operator.raw import parse_object

LOG_LINES, LOG_BYTES = 20, 64 * 1024
"""The end of a fetching pod's log in which its newest word on the progress is looked for."""

_GIB = 1 << 30
# A git hash; the word comes from an image that the user chose.
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_DIGITS = 3
# Where the end is not known, two digits are as good as steps of a few percent.
_DIGITS_WITHOUT_END = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes that are there, and bytes that there will be (None: nobody knows)."""

    done: int = 0
    total: int | None = None

    @property
    def done_gib(self) -> str | None:
        """GiB that are there, in steps of a percent of all where that is known, so that status seldom changes."""
        if not self.done:
            return None
        if not self.total:
            return _in_gib(self.done, _DIGITS_WITHOUT_END)
        return _in_gib(self.done * 100 // self.total * self.total // 100, _DIGITS)

    @property
    def total_gib(self) -> str | None:
        """GiB that there will be."""
        return None if self.total is None else _in_gib(self.total, _DIGITS)


def add(parts: Sequence[Progress]) -> Progress:
    """Return the progress of several fetches as one."""
    totals = [p.total for p in parts if p.total is not None]
    return Progress(sum(p.done for p in parts), sum(totals) if len(totals) == len(parts) else None)


def parse_progress(job: JobView) -> Progress:
    """Return how far a fetch is: by its last word where it is over, else by the newest line of its log that tells."""
    if job.succeeded:
        done = _number(parse_object(job.message), "done") or 0
        return Progress(done, done or None)
    lines = (parse_object(line) for line in reversed(job.log.splitlines()))
    newest = next((line for line in lines if "done" in line), {})
    return Progress(_number(newest, "done") or 0, _number(newest, "total"))


def parse_cause(job: JobView) -> str:
    """Return why a fetch failed, in one line."""
    return find_last_failure(job) or " ".join(job.message.split()) or "it left no word"


def find_last_failure(job: JobView) -> str:
    """Return why the last try of a fetch failed, in one line; empty where it did not, or has not ended."""
    return " ".join(str(parse_object(job.message).get("msg") or "").split())


def parse_weights(job: JobView) -> str | None:
    """Return the size of the model's weights in GiB as an ended fetch found them; None where it does not tell."""
    weights = _number(parse_object(job.message), "weights") if job.succeeded else None
    return _in_gib(weights, _DIGITS) if weights else None


def parse_commit(job: JobView) -> str:
    """Return the commit of the model's repository that an ended fetch has brought; empty where it does not tell."""
    commit = parse_object(job.message).get("commit") if job.succeeded else None
    return commit if isinstance(commit, str) and _COMMIT.fullmatch(commit) else ""


def _number(report: dict[str, Any], key: str) -> int | None:
    value = report.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _in_gib(size: int, digits: int) -> str:
    return f"{float(f'{size / _GIB:.{digits}g}'):g}"
