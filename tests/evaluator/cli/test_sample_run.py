"""The sample files through the real command: killed in the middle, taken up again, and shown once more at the end."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from toolorch_api.shard import Manifest, Summary

EXAMPLES = Path(__file__).parents[3] / "examples"
ARGUMENTS = ("run", "-f", EXAMPLES / "pools.yaml", "-f", EXAMPLES / "evalrun.yaml")
REMEDIATIONS = [
    "orchestrator-0: CAPTURE_OOM, gpuMemoryUtilization 95 → 90",
    "orchestrator-1: CAPTURE_OOM, gpuMemoryUtilization 90 → 85",
]


def children_of(mark):
    """Running programs that were started with this text in their environment, by pid."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


def results_in(output):
    return {path: path.read_bytes() for path in output.glob("*/results/**/*.json")}


@pytest.fixture(scope="module")
def story(tmp_path_factory, start, end):
    """Kill the run when some units have ended, run it to its end, and ask for it once more."""
    output = tmp_path_factory.mktemp("runs")
    mark = {"TOOLORCH_TEST": str(output), "MOCK_LATENCY_MS": "20"}
    command = start(*ARGUMENTS, "--output", output, **mark)
    wait_for(lambda: len(results_in(output)) >= 3)
    command.send_signal(signal.SIGKILL)
    _, _, first_words = end(command)
    wait_for(lambda: not children_of(f"TOOLORCH_TEST={output}"))
    before = results_in(output)
    second = end(start(*ARGUMENTS, "--output", output, **mark))
    after = results_in(output)
    third = end(start(*ARGUMENTS, "--output", output))
    return {"output": output, "first": first_words, "before": before, "second": second, "after": after, "third": third}


def test_the_pool_settles_after_two_remediations(story):
    assert [line for line in story["first"].splitlines() if "gpuMemoryUtilization" in line] == REMEDIATIONS
    row = next(line for line in story["second"][1].splitlines() if line.startswith("orchestrator "))
    assert row.split()[:5] == ["orchestrator", "mock/oracle", "2/2", "85", "AllReplicasReady"]


def test_the_run_is_taken_up_again_and_no_unit_is_run_twice(story):
    code, out, err = story["second"]
    assert code == 0, err
    assert 3 <= len(story["before"]) < 30
    assert story["before"].items() <= story["after"].items()
    assert len(story["after"]) == 30
    assert "score 1.000 over 30 scored units, 95 % interval 0.89–1.00" in out
    row = next(line for line in out.splitlines() if line.startswith("tau2-smoke "))
    assert row.split()[:5] == ["tau2-smoke", "tau2", "30/30", "1.000", "0"]


def test_the_folder_has_the_layout_of_storage(story):
    (folder,) = story["output"].glob("tau2-smoke-*")
    (durations,) = (story["output"] / "durations" / "tau2").iterdir()
    assert durations.stem == folder.name
    names = {path.name for path in folder.iterdir()}
    storage = {
        "run.json",
        "manifest.json",
        "provenance.json",
        "prompts.json",
        "results",
        "transcripts",
        "claims",
        "progress",
        "attempts",
        "report",
    }
    assert names == storage | {"logs", "status.json"}
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    keys = {manifest.unit(index).key for index in range(30)}
    assert {p.relative_to(folder / "results").with_suffix("").as_posix() for p in story["after"]} == keys
    assert all((folder / "transcripts" / f"{key}.json.zst").exists() for key in keys)
    summary = Summary.model_validate_json((folder / "report" / "summary.json").read_bytes())
    assert (summary.total, summary.passed) == (30, 30)
    assert json.loads((folder / "status.json").read_bytes())["score"] == "1.000"
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    told = json.loads((folder / "provenance.json").read_bytes())
    serving = told["pools"]["orchestrator"]["serving"]
    assert (serving["effective"]["gpuMemoryUtilization"], serving["arguments"][:2]) == (85, ["vllm", "serve"])
    assert told["served"] == {"agent": {"orchestrator": 30}, "user": {"user-sim": 30}}
    assert [attempt["pools"].keys() for attempt in told["attempts"]] == [told["pools"].keys()]


def test_a_finished_run_is_shown_at_once_with_a_hint(story):
    code, out, err = story["third"]
    assert code == 0
    assert err == "" or "cores" in err
    assert out.rstrip().endswith("tau2-smoke was finished by an earlier command; --fresh runs it anew")
    assert "score 1.000 over 30 scored units" in out
