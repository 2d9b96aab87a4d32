"""Storage: create-only, absent is None, one winner, errors with names and without secrets."""

from __future__ import annotations

import shutil

import obstore
import pytest

from toolorch_api.meta import StatusModel
from toolorch_api.shard import Assignment, Manifest, Progress, Summary
from toolorch_operator.errors import NotLeading, StorageDenied, StorageError, StorageInvalid, StorageUnavailable
from toolorch_operator.evalrun.wants import StorageWants
from toolorch_operator.facts import Facts
from toolorch_operator.storage import Storage, parse_storage_error

SECRET = {"AWS_ACCESS_KEY_ID": "access-key", "AWS_SECRET_ACCESS_KEY": "very-secret-value", "AWS_REGION": "us-east-1"}


@pytest.fixture(params=["memory", "file"])
def folder(request, frame, tmp_path):
    uri = "memory://evals" if request.param == "memory" else f"file://{tmp_path}/evals"
    metrics = frame.metrics()
    opened = Storage(metrics).open(f"{uri}/run-1234", {})
    return opened, metrics


async def overwrite(store, key, content):
    await obstore.put_async(store.store, f"{store.name}/{key}", content)


def requests(frame, metrics):
    return frame.samples(metrics, "toolorch_storage_requests_total", ("operation", "outcome"))


async def test_an_object_is_created_once(folder):
    store, _ = folder
    assert await store.create("a/b.json", b"1")
    assert not await store.create("a/b.json", b"2")
    assert await store.get("a/b.json") == b"1"


async def test_an_absent_object_is_none_and_an_absent_prefix_is_empty(folder):
    store, _ = folder
    assert await store.get("none") is None
    assert await store.list("none/") == []


async def test_listed_keys_are_relative_to_the_run_and_versions_change_with_content(folder):
    store, _ = folder
    await store.create("progress/1-0.json", b"1")
    (before,) = await store.list("progress/")
    assert before.key == "progress/1-0.json"
    await overwrite(store, "progress/1-0.json", b"12")
    (after,) = await store.list("progress/")
    assert after.version != before.version


async def test_a_store_is_probed_once_with_one_winner_and_left_clean(folder, frame):
    store, metrics = folder
    assert await store.probe("t1")
    assert await store.probe("t2")
    assert await store.list("") == []
    assert requests(frame, metrics) == {("put", "ok"): 32.0, ("delete", "ok"): 1.0, ("list", "ok"): 1.0}


@pytest.mark.parametrize(
    ("objects", "count"),
    [
        pytest.param(0, 1.0, id="one for none"),
        pytest.param(1000, 1.0, id="one for a full page"),
        pytest.param(1001, 2.0, id="two for more"),
    ],
)
async def test_a_listing_counts_as_one_request_per_page(frame, objects, count):
    metrics = frame.metrics()
    store = Storage(metrics).open("memory://evals/run-1234", {})
    for i in range(objects):
        obstore.put(store.store, f"{store.name}/results/{i}.json", b"")
    assert len(await store.list("results/")) == objects
    assert requests(frame, metrics) == {("list", "ok"): count}


async def test_runs_of_one_output_share_a_store(frame):
    storage = Storage(frame.metrics())
    first, second = storage.open("memory://evals/a", {}), storage.open("memory://evals/b", {})
    await first.create("k", b"1")
    assert first.store is second.store
    assert await second.get("k") is None
    assert storage.open("memory://evals/a", {"X": "1"}).store is not first.store


async def test_a_server_that_is_not_there_is_unavailable_and_no_secret_is_told(frame):
    secret = {**SECRET, "AWS_ENDPOINT_URL": "http://user:pass-word@127.0.0.1:9", "AWS_ALLOW_HTTP": "true"}
    metrics = frame.metrics()
    store = Storage(metrics).open("s3://evals/runs/r", secret)
    with pytest.raises(StorageUnavailable) as caught:
        await store.get("k")
    assert not any(word in str(caught.value) for word in ("pass-word", "very-secret", "access-key"))
    assert requests(frame, metrics) == {("get", "StorageUnavailable"): 1.0}


@pytest.mark.parametrize(
    ("uri", "secret", "words"),
    [
        pytest.param("ftp://host/x/r", {}, "not s3, gs, az or file", id="an unknown scheme"),
        pytest.param("s3://evals/r", {"AWS_NONSENSE": "1"}, "aws_nonsense", id="a setting that does not exist"),
        pytest.param("file:///proc/none/x/r", {}, "No such file", id="a folder that cannot be made"),
    ],
)
def test_what_cannot_work_is_invalid(frame, uri, secret, words):
    with pytest.raises(StorageInvalid, match=words):
        Storage(frame.metrics()).open(uri, secret)


def test_keys_that_are_not_the_stores_are_not_given_to_it(frame):
    Storage(frame.metrics()).open("s3://evals/runs/r", {**SECRET, "HF_TOKEN": "x", "AWS_ALLOW_HTTP": "true"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionError("no"), StorageDenied),
        (TimeoutError("slow"), StorageUnavailable),
        (ValueError("x"), StorageInvalid),
    ],
)
def test_each_error_has_its_kind_and_loses_secrets(error, kind):
    assert type(parse_storage_error(error, ())) is kind
    text = str(parse_storage_error(OSError("denied for very-secret-value\nbacktrace"), ("very-secret-value",)))
    assert text == "denied for ***"


def body(value: StatusModel) -> bytes:
    return value.model_dump_json(by_alias=True).encode()


def progress(frame, shard, **counts):
    return Progress(
        spec_hash="h", attempt=1, shard=shard, pod="p", total=3, started_at=frame.now, updated_at=frame.now, **counts
    )


async def test_only_what_is_wanted_is_read(folder, frame):
    store, metrics = folder
    view = await Facts(lambda: "t").read(store, "r", StorageWants())
    assert view.manifest is None
    assert requests(frame, metrics) == {}


async def test_what_cannot_have_changed_is_not_read_again(folder, frame):
    store, metrics = folder
    facts = Facts(lambda: "t")
    manifest = Manifest(spec_hash="h", dataset_hash="d", units=[("control", "retail", "7", 0)])
    assignment = Assignment(spec_hash="h", attempt=1, shards=[[0]])
    await store.create("manifest.json", body(manifest))
    await store.create("attempts/1/assignment.json", body(assignment))
    await store.create("progress/1-0.json", body(progress(frame, 0)))
    await store.create("progress/1-1.json", body(progress(frame, 1)))
    wants = StorageWants(manifest=True, assignment=1, progress=True)
    view = await facts.read(store, "r", wants)
    assert (view.manifest, view.assignment) == (manifest, assignment)
    assert [p.shard for p in view.progress] == [0, 1]

    before = requests(frame, metrics)
    await overwrite(store, "progress/1-1.json", body(progress(frame, 1, passed=2)))
    view = await facts.read(store, "r", wants)
    after = requests(frame, metrics)
    assert [p.passed for p in view.progress] == [0, 2]
    assert after["get", "ok"] - before["get", "ok"] == 1.0
    assert after["list", "ok"] - before["list", "ok"] == 1.0


async def test_results_are_listed_by_key_and_the_summary_is_read(folder):
    store, _ = folder
    summary = Summary(
        spec_hash="h", total=1, scored=1, passed=1, failed=0, infra_errors=0, score="1.000", score_scheduled="1.000",
        interval="0.21–1.00",
    )  # fmt: skip
    await store.create("results/control/retail/7/0.json", b"{}")
    await store.create("report/summary.json", body(summary))
    view = await Facts(lambda: "t").read(store, "r", StorageWants(results=True, errors=True, summary=True))
    assert view.results == {"results/control/retail/7/0.json"}
    assert view.errors == frozenset()
    assert view.summary == summary


async def test_an_object_that_is_not_ours_is_an_error_that_names_it(folder):
    store, _ = folder
    await store.create("manifest.json", b'{"units": 3}')
    with pytest.raises(StorageInvalid, match=r"manifest\.json"):
        await Facts(lambda: "t").read(store, "r", StorageWants(manifest=True))


async def test_a_store_that_refused_a_write_is_read_again_only_once_it_takes_one(frame, tmp_path):
    metrics = frame.metrics()
    store = Storage(metrics).open(f"file://{tmp_path}/evals/run-1234", {})
    facts, wants = Facts(lambda: "t"), StorageWants(results=True)
    await facts.read(store, "r", wants)
    folder = tmp_path / "evals" / "run-1234"
    shutil.rmtree(folder, ignore_errors=True)
    # No place for the run's objects: reads find nothing, and writes fail.
    folder.write_text("")
    with pytest.raises(StorageError):
        await store.create("attempts/1/assignment.json", b"{}")
    with pytest.raises(StorageError):
        await facts.read(store, "r", wants)
    folder.unlink()
    before = requests(frame, metrics)["put", "ok"]
    assert (await facts.read(store, "r", wants)).results == frozenset()
    assert requests(frame, metrics)["put", "ok"] == before + 1
    await facts.read(store, "r", wants)
    assert requests(frame, metrics)["put", "ok"] == before + 1


async def test_who_does_not_lead_stores_nothing_and_may_read(frame, tmp_path):
    def refuse():
        raise NotLeading("another leads")

    store = Storage(frame.metrics(), refuse).open(f"file://{tmp_path}/evals/run-1", {})
    for write in (store.create("a/b.json", b"1"), store.probe("token")):
        with pytest.raises(NotLeading):
            await write
    assert await store.get("a/b.json") is None
    assert await store.list("a/") == []
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
