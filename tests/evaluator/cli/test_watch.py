"""`toolorch watch` over a kubectl that prints files: it follows a run to its end, and ends as the run did."""

import json
import os
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from toolorch_evaluator.cli.errors import BadInputError, RunFailedError
from toolorch_evaluator.cli.kubectl import Kubectl
from toolorch_evaluator.cli.watch import watch_run

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
# A file `<kind>.error` is said and fails; else `<kind>.json` is printed. The words of each call are kept.
SCRIPT = """#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> calls
kind="${2%%[.,]*}"
[ -e "$kind.error" ] && cat "$kind.error" >&2 && exit 1
cat "$kind.json"
"""


class Cluster:
    """The files that the fake kubectl prints, and a clock that only pauses move."""

    def __init__(self, folder):
        self.folder, self.now, self.steps = folder, NOW, []
        self.kubectl = folder / "kubectl"
        self.kubectl.write_text(SCRIPT)
        self.kubectl.chmod(0o755)
        self.show(run=self.run())

    @staticmethod
    def run(name="smoke", done=0, ends=(), reason="Running"):
        conditions = [
            {"type": t, "status": s, "reason": r, "lastTransitionTime": "2026-01-01T11:00:00Z"} for t, s, r in ends
        ]
        units = {"total": 10, "done": done, "passed": done}
        status = {"attempt": 1, "reason": reason, "units": units, "done": f"{done}/10", "conditions": conditions}
        roles = {"agent": {"pool": "agent"}}
        spec = {"benchmark": {"name": "tau2"}, "roles": roles}
        return {"kind": "EvalRun", "metadata": {"name": name, "namespace": "lab"}, "spec": spec, "status": status}

    def show(self, run=None, **kinds):
        """Let the cluster hold a run, or other lists."""
        if run is not None:
            kinds["evalruns"] = [run]
        for kind, items in {"pods": [], "events": [], **kinds}.items():
            (self.folder / f"{kind}.json").write_text(json.dumps({"kind": "List", "items": items}))

    def fail(self, kind, words):
        """Let kubectl fail for a kind; no words: no longer."""
        path = self.folder / f"{kind}.error"
        path.write_text(words) if words else path.unlink()

    async def pause(self, seconds):
        """Let time pass, and the next step happen."""
        self.now += timedelta(seconds=seconds)
        self.steps.pop(0)()

    async def watch(self, name="smoke", once=False, terminal=False, **place):
        """Watch to the end; return what was printed."""
        stream = StringIO()
        console = Console(file=stream, width=80, force_terminal=terminal, color_system=None)
        kubectl = Kubectl(str(self.kubectl), **place)
        await watch_run(kubectl, name, console, once=once, pause=self.pause, clock=lambda: self.now)
        return stream.getvalue()


COMPLETE = [("Complete", "True", "RunComplete")]
FAILED = [("Failed", "True", "CoverageBelowMinimum")]


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


async def test_a_run_is_followed_to_its_end(cluster):
    cluster.steps = [
        lambda: cluster.show(cluster.run(done=4)),
        lambda: cluster.show(cluster.run(done=10, reason="RunComplete", ends=COMPLETE)),
    ]
    assert (await cluster.watch(namespace="lab", context="far")).splitlines() == [
        "agent: does not exist",
        "smoke: Running",
        "smoke: 4/10 done, 4 passed, 0 errors",
        "smoke: 10/10 done, 10 passed, 0 errors",
        "",
        "smoke: RunComplete",
    ]
    calls = (cluster.folder / "calls").read_text().splitlines()
    assert all("--namespace=lab --context=far" in call for call in calls)
    assert any("pods --selector=toolorch.dev/kind=EvalRun,toolorch.dev/name=smoke" in call for call in calls)


async def test_a_run_that_failed_ends_the_command_in_failure(cluster):
    cluster.show(cluster.run(done=4, reason="CoverageBelowMinimum: 4 of 10 scored", ends=FAILED))
    with pytest.raises(RunFailedError, match="smoke failed: CoverageBelowMinimum: 4 of 10 scored"):
        await cluster.watch()


async def test_a_finished_run_whose_report_is_still_written_is_watched_on(cluster):
    waits = cluster.run(done=10, ends=[*COMPLETE, ("ReportReady", "Unknown", "Reporting")])
    ready = cluster.run(done=10, ends=[*COMPLETE, ("ReportReady", "True", "ReportWritten")])
    cluster.show(waits)
    cluster.steps = [lambda: cluster.show(ready)]
    await cluster.watch()
    assert cluster.steps == []


async def test_once_shows_the_table_and_ends_while_the_run_goes_on(cluster):
    cluster.show(cluster.run(done=4))
    lines = (await cluster.watch(once=True)).splitlines()
    assert lines[0] == "smoke in lab: tau2, attempt 1"
    assert "4/10" in lines[2]


async def test_a_terminal_gets_the_table_anew_in_its_place(cluster):
    cluster.steps = [lambda: cluster.show(cluster.run(done=10, ends=COMPLETE))]
    printed = await cluster.watch(terminal=True)
    assert printed.index(" 0/10") < printed.index("\x1b[1A") < printed.index("10/10")


@pytest.mark.parametrize("terminal", [False, True])
async def test_what_a_server_or_a_pod_said_does_not_command_the_terminal(cluster, terminal):
    """Such as to change its title, to answer as if the user had typed, or to write over other lines."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b6n\u202emr"
    about = {"involvedObject": {"kind": "EvalRun", "name": "smoke"}, "reason": evil, "message": evil, "type": "Normal"}
    about["lastTimestamp"] = "2026-01-01T11:59:00Z"
    run = cluster.run(done=10, reason=evil, ends=[*COMPLETE, ("Stalled", "True", "InvalidSpec")])
    run["status"]["conditions"][-1]["message"] = evil
    cluster.show(run, events=[{"metadata": {"name": "e"}, **about}])
    printed = await cluster.watch(terminal=terminal)
    assert "?]0;owned??[2J" in printed
    assert not [each for each in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e") if each in printed]
    cluster.fail("evalruns", f"error: {evil}")
    with pytest.raises(BadInputError) as refusal:
        await cluster.watch(terminal=terminal)
    assert "\x1b" not in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "words", "sentence"),
    [
        pytest.param(
            "evalruns",
            "E1121 memcache.go\nThe connection to the server localhost:8080 was refused\n",
            r"kubectl could not read evalruns.*: The connection to the server localhost:8080 was refused$",
            id="no cluster answers",
        ),
        pytest.param(
            "evalruns",
            'error: the server doesn\'t have a resource type "evalruns"',
            "the cluster knows no evalruns.*install toolorch's chart there first",
            id="toolorch is not installed",
        ),
        pytest.param(
            "evalruns",
            "Error from server (Forbidden): evalruns.toolorch.dev is forbidden",
            "you have no right to list evalruns",
            id="no rights",
        ),
    ],
)
async def test_what_cannot_be_watched_is_said_in_a_sentence(cluster, kind, words, sentence):
    cluster.fail(kind, words)
    with pytest.raises(BadInputError, match=sentence):
        await cluster.watch()


async def test_without_kubectl_the_sentence_says_that_it_is_needed(cluster):
    cluster.kubectl.unlink()
    with pytest.raises(BadInputError, match=r"cannot be started \(No such file or directory\).*install it"):
        await cluster.watch()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("smok", "there is no EvalRun smok in namespace lab; did you mean smoke? (there: smoke)"),
        ("x", "there is no EvalRun x in namespace lab (there: smoke)"),
    ],
)
async def test_a_run_that_is_not_there_is_not_waited_for(cluster, name, sentence):
    with pytest.raises(BadInputError) as error:
        await cluster.watch(name, namespace="lab")
    assert str(error.value) == sentence


async def test_who_may_not_list_pods_sees_the_rest(cluster):
    cluster.fail("pods", "Error from server (Forbidden): pods is forbidden")
    assert "you have no right to list pods" in await cluster.watch(once=True)


async def test_a_cluster_that_is_away_for_a_while_is_waited_for(cluster):
    cluster.steps = [
        lambda: cluster.fail("evalruns", "Unable to connect to the server"),
        lambda: None,
        lambda: cluster.fail("evalruns", ""),
        lambda: cluster.show(cluster.run(done=10, ends=COMPLETE)),
    ]
    lines = (await cluster.watch()).splitlines()
    assert [line for line in lines if line.startswith("no answer")] == [
        "no answer since 12:00:00 UTC: kubectl could not read evalruns.toolorch.dev,modelpools.toolorch.dev:"
        " Unable to connect to the server"
    ]


async def test_a_cluster_that_stays_away_and_a_run_that_was_deleted_end_the_watch(cluster):
    def away():
        cluster.now += timedelta(minutes=11)
        cluster.fail("evalruns", "Unable to connect to the server")

    cluster.steps = [away]
    with pytest.raises(BadInputError, match="Unable to connect"):
        await cluster.watch()
    cluster.fail("evalruns", "")
    cluster.steps = [lambda: cluster.show(evalruns=[])]
    with pytest.raises(RunFailedError, match="EvalRun smoke was deleted"):
        await cluster.watch()


def test_the_command_takes_the_kubectl_of_the_path_and_ends_with_the_runs_exit_code(cluster, start, end):
    cluster.show(cluster.run(done=4, reason="CoverageBelowMinimum", ends=FAILED))
    path = f"{cluster.folder}:{os.environ['PATH']}"
    code, out, err = end(start("watch", "smoke", PATH=path))
    assert (code, err) == (3, "toolorch: smoke failed: CoverageBelowMinimum\n")
    assert "smoke: 4/10 done" in out
