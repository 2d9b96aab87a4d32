"""What Kubernetes reads of a shard, however it ends."""

import asyncio
import json
import os

import pytest

from toolorch_api.deaths import LastWord
from toolorch_api.shard import ExitCode
from toolorch_evaluator.exits import MAX_WORD_BYTES, StepError, leave_word
from toolorch_evaluator.last_word import RunningUnits


def read(path):
    return LastWord.model_validate_json(path.read_bytes()).running


async def test_a_unit_is_named_before_its_first_call_and_until_its_end(make_world, model_servers, scripted, shard):
    world, benchmark = make_world(concurrencyPerShard=2), scripted(5)
    words = []

    def answer(body, headers):
        words.append((body["messages"][0]["content"], read(world.settings.termination_log)))
        return 500, "boom", {}

    world.point(await model_servers(answer))
    await world.assign(benchmark.units)
    await shard(world, benchmark)
    assert all(int(task.removeprefix("task ")) in running for task, running in words)
    assert max(len(running) for _, running in words) == 2


@pytest.mark.parametrize("told_to_stop", [False, True], ids=["finished", "drained"])
async def test_a_clean_end_leaves_an_empty_word(make_world, model_servers, scripted, shard, told_to_stop):
    world, benchmark = make_world(concurrencyPerShard=1), scripted(3)
    stop = asyncio.Event()

    def answer(body, headers):
        if told_to_stop:
            stop.set()
        return 500, "boom", {}

    world.point(await model_servers(answer))
    await world.assign(benchmark.units)
    code = await shard(world, benchmark, stop=stop)
    assert code is (ExitCode.DRAINED if told_to_stop else ExitCode.OK)
    assert world.settings.termination_log.read_bytes() == b""


def test_the_word_of_a_step_that_cannot_go_on_names_no_unit(tmp_path):
    named = RunningUnits(tmp_path / "word")
    named.begin(5)
    named.clear()
    leave_word(StepError("StorageUnreachable", "storage stayed away"), tmp_path / "word")
    assert json.loads((tmp_path / "word").read_text())["reason"] == "StorageUnreachable"
    assert read(tmp_path / "word") == []


def test_a_shorter_word_replaces_a_longer_one_in_place(tmp_path):
    (tmp_path / "word").touch()
    file = os.stat(tmp_path / "word").st_ino
    named = RunningUnits(tmp_path / "word")
    for index in (100, 200, 300):
        named.begin(index)
    named.end(100)
    named.end(300)
    assert read(tmp_path / "word") == [200]
    assert os.stat(tmp_path / "word").st_ino == file, "the file is mounted: another one in its place is not seen"


@pytest.mark.parametrize(
    ("first", "units", "told"),
    [
        pytest.param(999_000, 512, 512, id="all of 512 units"),
        pytest.param(9_990_000, 600, 510, id="as many of 600 as fit, those that began last"),
    ],
)
def test_the_word_is_never_longer_than_kubernetes_reads(tmp_path, first, units, told):
    named = RunningUnits(tmp_path / "word")
    for index in range(first, first + units):
        named.begin(index)
    assert (tmp_path / "word").stat().st_size <= MAX_WORD_BYTES
    running = read(tmp_path / "word")
    assert (len(running), running[-1]) == (told, first + units - 1)


def test_a_long_sentence_of_many_bytes_is_cut_to_what_kubernetes_reads(tmp_path):
    leave_word(StepError("Broken", "Ж€" * 4000), tmp_path / "word")
    body = (tmp_path / "word").read_bytes()
    assert len(body) <= MAX_WORD_BYTES
    assert json.loads(body)["message"].startswith("Ж€Ж€")


def test_where_no_word_can_be_left_work_goes_on(tmp_path):
    named = RunningUnits(tmp_path / "nowhere" / "word")
    named.begin(1)
    named.end(1)
    named.clear()
    assert not (tmp_path / "nowhere").exists()
