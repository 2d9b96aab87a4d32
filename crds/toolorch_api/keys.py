"""Object keys of a run, below its folder: each is a function of identity."""

from __future__ import annotations

from toolorch_api.unit import Unit

RUN_KEY = "run.json"
MANIFEST_KEY = "manifest.json"
SUMMARY_KEY = "report/summary.json"
REPORT_KEY = "report/report.html"
RESULTS_PREFIX = "results/"
ERRORS_PREFIX = "errors/"
TRANSCRIPTS_PREFIX = "transcripts/"
PROGRESS_PREFIX = "progress/"


def run_folder(name: str, uid: str) -> str:
    """Folder of a run under the output URI: `<run>-<first 8 of uid>`, so that a new run of that name starts empty."""
    return f"{name}-{uid[:8]}"


def result_key(unit: Unit) -> str:
    """Key of a unit's final result."""
    return f"{RESULTS_PREFIX}{unit.key}.json"


def error_key(unit: Unit) -> str:
    """Key of a unit's infra error."""
    return f"{ERRORS_PREFIX}{unit.key}.json"


def transcript_key(unit: Unit) -> str:
    """Key of a unit's transcript."""
    return f"{TRANSCRIPTS_PREFIX}{unit.key}.json.zst"


def assignment_key(attempt: int) -> str:
    """Key of an attempt's assignment."""
    return f"attempts/{attempt}/assignment.json"


def progress_key(attempt: int, shard: int) -> str:
    """Key of a shard's progress object."""
    return f"{PROGRESS_PREFIX}{attempt}-{shard}.json"


def profile_key(attempt: int, shard: int) -> str:
    """Key of a shard's call events."""
    return f"attempts/{attempt}/{shard}/events.jsonl.zst"
