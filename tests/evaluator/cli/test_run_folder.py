"""The folder of a run: whose it is, what the brain reads there, and what a new beginning keeps."""

from datetime import UTC, datetime

import pytest

from toolorch_api.conditions import Condition, RunCondition, Truth
from toolorch_api.deaths import Death
from toolorch_api.evalrun import EvalRun, Output
from toolorch_api.evalrun_status import EvalRunStatus, UnitCounts
from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.folder import RunFolder
from toolorch_evaluator.cli.identity import identified, run_uid, scaled
from toolorch_operator.evalrun.wants import StorageWants

ALL = StorageWants(manifest=True, assignment=1, progress=True, results=True, errors=True, summary=True)
MANIFEST = b'{"specHash": "h", "datasetHash": "d", "units": [["control", "retail", "0", 0]]}'


@pytest.fixture
def run(documents):
    return identified(
        EvalRun.model_validate(documents.evalrun("smoke", shards=3, concurrencyPerShard=4)), "0123456789ab"
    )


@pytest.fixture
def folder(tmp_path, run):
    folder = RunFolder(tmp_path / "runs", run)
    folder.open()
    yield folder
    folder.close()


def test_it_is_named_as_in_storage_and_held_by_one_command(tmp_path, run, folder):
    assert folder.path == tmp_path / "runs" / "smoke-01234567"
    with pytest.raises(BadInputError, match="another toolorch works on"):
        RunFolder(tmp_path / "runs", run).open()


def test_when_it_is_let_go_nothing_but_the_run_is_left(tmp_path, run, folder):
    folder.close()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["smoke-01234567"]
    again = RunFolder(tmp_path / "runs", run)
    again.open()
    again.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, run):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match=r"--output: .* cannot be written: Not a directory"):
        RunFolder(tmp_path / "file", run).open()


def test_an_object_is_created_once(folder):
    folder.create("attempts/1/assignment.json", b"first")
    folder.create("attempts/1/assignment.json", b"second")
    assert (folder.path / "attempts/1/assignment.json").read_bytes() == b"first"


def test_an_empty_folder_has_no_facts(folder):
    facts = folder.read_facts(ALL)
    assert (facts.manifest, facts.assignment, facts.progress, facts.summary) == (None, None, (), None)
    assert (facts.results, facts.errors) == (frozenset(), frozenset())


def test_only_what_is_wanted_is_read(folder):
    folder.create("manifest.json", MANIFEST)
    folder.create("results/control/retail/0/0.json", b"{}")
    assert folder.read_facts(ALL).results == {"results/control/retail/0/0.json"}
    assert folder.read_facts(StorageWants()).results is None
    assert folder.read_facts(StorageWants()).manifest is None
    assert len(folder.read_facts(ALL).manifest.units) == 1


def test_what_is_broken_is_named(folder):
    folder.create("manifest.json", b"{")
    with pytest.raises(BadInputError, match=r"manifest\.json: this is not what toolorch wrote"):
        folder.read_facts(ALL)


def test_status_outlives_the_command(folder):
    failed = Condition(
        type=RunCondition.FAILED, status=Truth.TRUE, reason="X", last_transition_time=datetime(2026, 1, 1, tzinfo=UTC)
    )
    status = EvalRunStatus(units=UnitCounts(total=3, done=1), conditions=[failed])
    folder.write_status(status)
    assert folder.read_status() == status


def test_units_that_were_set_aside_get_another_chance_and_all_else_stays(folder):
    kept = ["manifest.json", "results/a.json", "errors/b.json", "attempts/1/assignment.json", "progress/1-0.json"]
    for key in [*kept, "deaths/1/p0.json"]:
        folder.create(key, b"{}")
    folder.forget_deaths()
    assert sorted(p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()) == sorted(kept)


def test_the_same_documents_are_the_same_run_and_what_changes_results_makes_another(documents):
    def uid(run=None, **pool):
        pools = {"agent": ModelPool.model_validate(documents.pool("agent", **pool))}
        return run_uid(EvalRun.model_validate(documents.evalrun(**(run or {}))), pools)

    assert uid() == uid(replicas=3, gpuMemoryUtilization=80) == uid({"shards": 9})
    assert (
        len({uid(), uid(model="org/other"), uid({"trials": 2}), uid({"name": "other"}), uid(reasoningParser="x")}) == 5
    )


@pytest.mark.parametrize(("programs", "expected"), [(1, (1, 12)), (2, (2, 6)), (8, (3, 4))])
def test_fewer_programs_run_as_many_units_at_once(run, programs, expected):
    spec = scaled(run, programs).spec
    assert (spec.shards, spec.concurrency_per_shard) == expected


def test_results_stay_on_this_machine(run, documents):
    wanted = run.model_copy(update={"spec": run.spec.model_copy(update={"output": Output(uri="s3://bucket")})})
    assert identified(wanted, "0").spec.output is None


def test_deaths_and_ends_of_pods_are_read_until_a_new_beginning(folder):
    death = Death(spec_hash="h", attempt=1, what="pod", units=[3])
    folder.create("deaths/1/p0.json", death.model_dump_json(by_alias=True).encode())
    folder.create("attempts/1/0/p0/exit.json", b"{}")
    wants = StorageWants(deaths=True, exits=frozenset({"attempts/1/0/p0/exit.json", "attempts/1/0/p1/exit.json"}))
    facts = folder.read_facts(wants)
    assert facts.deaths == {"deaths/1/p0.json": death}
    assert facts.exits == {"attempts/1/0/p0/exit.json"}
    folder.forget_deaths()
    assert folder.read_facts(wants).deaths == {}
