"""Object keys of a run, below its folder: each is a function of identity."""

from __future__ import annotations

from toolorch_api.unit import Unit, slug

RUN_KEY = "run.json"
MANIFEST_KEY = "manifest.json"
PROMPTS_KEY = "prompts.json"
SUMMARY_KEY = "report/summary.json"
REPORT_KEY = "report/report.html"
RESULTS_PREFIX = "results/"
ERRORS_PREFIX = "errors/"
TRANSCRIPTS_PREFIX = "transcripts/"
PROGRESS_PREFIX = "progress/"
CLAIMS_PREFIX = "claims/"
DEATHS_PREFIX = "deaths/"
ATTEMPTS_PREFIX = "attempts/"
PROVENANCE_KEY = "provenance.json"

DURATIONS_FOLDER = "durations"
"""Beside the runs' folders, below the output URI: how long tasks took, one object per run that ended."""


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


def attempt_provenance_key(attempt: int) -> str:
    """Key of what served the run's models when an attempt began."""
    return f"{ATTEMPTS_PREFIX}{attempt}/provenance.json"


def exit_key(attempt: int, step: str, pod: str) -> str:
    """Key of how a failed pod ended; `step` is the shard's index, or the name of a step that has none."""
    return f"{ATTEMPTS_PREFIX}{attempt}/{step}/{slug(pod)}/exit.json"


def pod_log_key(attempt: int, step: str, pod: str) -> str:
    """Key of a failed pod's log, beside how it ended."""
    return f"{ATTEMPTS_PREFIX}{attempt}/{step}/{slug(pod)}/pod.log"


def death_key(attempt: int, name: str) -> str:
    """Key of a death (toolorch_api.deaths); `name` is the pod's, or of the units that a server did not survive."""
    return f"{DEATHS_PREFIX}{attempt}/{slug(name)}.json"


def progress_key(attempt: int, shard: int) -> str:
    """Key of a shard's progress object."""
    return f"{PROGRESS_PREFIX}{attempt}-{shard}.json"


def profile_key(attempt: int, shard: int, pod: str) -> str:
    """Key of the call events of one of a shard's pods: one that takes over keeps those of the one before it."""
    return f"{ATTEMPTS_PREFIX}{attempt}/{shard}/{slug(pod)}/events.jsonl.zst"


def claims_folder(attempt: int, group: int) -> str:
    """Prefix of all that a group of shards tells each other about an attempt's units."""
    return f"{CLAIMS_PREFIX}{attempt}/{group}/"


def claim_key(folder: str, block: int, generation: int) -> str:
    """Key of a claim on a block of units; each taking over of a lapsed one is a generation of its own."""
    return f"{folder}{block}.{generation}.json"


def left_key(folder: str, pod: str) -> str:
    """Key by which a pod says that it gives back what it has not ended."""
    return f"{folder}left/{slug(pod)}.json"


def probe_key(folder: str, pod: str) -> str:
    """Key that a pod creates several times at once, to see whether storage lets only one of them."""
    return f"{folder}probe/{slug(pod)}.json"


def finished_key(folder: str, shard: int) -> str:
    """Key by which a shard says that all it ever claimed has ended."""
    return f"{folder}finished/{shard}.json"


def durations_key(benchmark: str, run_folder: str) -> str:
    """Key of a run's durations, below the output URI."""
    return f"{DURATIONS_FOLDER}/{slug(benchmark)}/{slug(run_folder)}.json"
