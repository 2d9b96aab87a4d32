"""Pods of a run on this machine: how their ends are seen, whose deaths count, and what is kept of them."""

from dataclasses import dataclass, field

import pytest

from toolorch_api.evalrun import EvalRun
from toolorch_evaluator.cli.folder import RunFolder
from toolorch_evaluator.cli.identity import identified
from toolorch_evaluator.cli.jobs import LocalJob
from toolorch_operator.evalrun.deaths import died_of_units


@dataclass
class Program:
    """A program that ends when the test says so."""

    environment: dict
    code: int | None = None

    @property
    def has_ended(self):
        return self.code is not None

    def say(self, word):
        with open(self.environment["TOOLORCH_TERMINATION_LOG"], "w") as log:
            log.write(word)


@dataclass
class Programs:
    """Starts programs that are none."""

    started: list = field(default_factory=list)

    async def start(self, command, environment, log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("it began")
        self.started.append(Program(dict(environment)))
        return self.started[-1]

    async def wait(self, child):
        return child.code

    async def stop(self, child):
        child.code = 137
        return child.code


@pytest.fixture
def folder(tmp_path, documents):
    run = identified(EvalRun.model_validate(documents.evalrun("smoke")), "0123456789ab")
    opened = RunFolder(tmp_path / "runs", run)
    opened.open()
    yield opened
    opened.close()


def job(folder, programs, step="shard", attempt="2"):
    labels = {"toolorch.dev/step": step} | ({"toolorch.dev/attempt": attempt} if step == "shard" else {})
    container = {"env": [{"name": "TOOLORCH_ATTEMPT", "value": attempt}]}
    manifest = {
        "metadata": {"name": "smoke-a2", "labels": labels},
        "spec": {"completions": 1, "backoffLimit": 3, "template": {"spec": {"containers": [container]}}},
    }
    return LocalJob(manifest, folder.path / "input", folder, programs)


async def test_a_program_that_is_killed_with_units_under_way_has_died_of_them(folder):
    programs = Programs()
    killed = job(folder, programs)
    await killed.advance()
    programs.started[0].say('{"running": [4, 7]}')
    programs.started[0].code = 137
    await killed.advance()
    (pod,) = killed.pods()
    assert (pod.running, pod.message) == ((4, 7), "exit code 137 while units 4 and 7 ran")
    assert (pod.attempt, pod.index, pod.finished_at is not None) == (2, 0, True)
    assert died_of_units(pod)


async def test_a_program_that_is_replaced_has_not_died_of_its_units_and_begins_anew(folder):
    programs = Programs()
    stalled = job(folder, programs)
    await stalled.advance()
    programs.started[0].say('{"running": [4]}')
    await stalled.replace(stalled.pods()[0].name)
    assert not died_of_units(stalled.pods()[0])
    await stalled.advance()
    assert len(programs.started) == 2
    assert not stalled.view().is_failed


async def test_no_two_pods_have_one_name_across_commands(folder):
    names = []
    for _ in range(2):
        programs = Programs()
        await job(folder, programs).advance()
        names.append(programs.started[0].environment["TOOLORCH_POD"])
    assert names == ["smoke-a2-0-0", "smoke-a2-0-1"]


async def test_a_report_belongs_to_the_attempt_that_it_was_told(folder):
    reporting = job(folder, Programs(), step="report", attempt="3")
    await reporting.advance()
    assert [(pod.attempt, pod.index) for pod in reporting.pods()] == [(3, None)]


def test_of_a_log_the_last_lines_and_of_these_the_last_bytes_are_kept(folder):
    assert folder.read_log_end("none", 2, 100) == ""
    folder.log("p").parent.mkdir(parents=True)
    folder.log("p").write_text("".join(f"line {i}\n" for i in range(100)))
    assert folder.read_log_end("p", 2, 1000) == "line 98\nline 99\n"
    assert folder.read_log_end("p", 2, 5) == "e 99\n"
