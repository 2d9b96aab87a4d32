"""Answers of a store that do not mean what they seem to say: "taken" of what is not there, a refusal for a clock."""

import pytest
from obstore.exceptions import AlreadyExistsError, PermissionDeniedError

from toolorch_api.store_errors import say_store_error
from toolorch_evaluator.exits import StorageError
from toolorch_evaluator.results import Results, open_store

CONFLICT = AlreadyExistsError("Object at location k already exists: 409 Conflict: <Error><Code>OperationAborted</Code>")
SKEW = PermissionDeniedError(
    'Generic S3 error: Error performing PUT http://h:9/evals/k in 2ms - 403 Forbidden: <?xml version="1.0"?>\n<Error>'
    "<Code>RequestTimeTooSkewed</Code><Message>The clocks differ.</Message><StringToSign>secret</StringToSign></Error>"
)
DENIED = PermissionDeniedError("403 Forbidden: <Error><Code>AccessDenied</Code></Error>")


class Stumbling:
    """A store whose next requests fail as told."""

    def __init__(self, store, *errors):
        self.store, self.errors, self.asked = store, list(errors), 0

    def _stumble(self):
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)

    async def put_async(self, path, file, **more):
        self._stumble()
        return await self.store.put_async(path, file, **more)

    async def get_async(self, path):
        return await self.store.get_async(path)

    def list(self, prefix=None, **more):
        self._stumble()
        return self.store.list(prefix, **more)


@pytest.fixture
def stumbling(tmp_path):
    """Open results over a store that fails so."""

    def open_(*errors, patience=5.0):
        store = Stumbling(open_store(f"file://{tmp_path}/store"), *errors)
        return Results(store, patience, longest_pause=0.001), store

    return open_


async def test_what_is_said_to_be_taken_and_is_not_there_is_written_again(stumbling):
    results, _ = stumbling(CONFLICT, CONFLICT)
    assert await results.put_new("k", b"1")
    assert await results.get("k") == b"1"


async def test_what_is_there_when_another_write_was_under_way_is_taken(stumbling):
    results, store = stumbling()
    await results.put("k", b"1")
    store.errors = [CONFLICT]
    assert not await results.put_new("k", b"2")
    assert await results.get("k") == b"1"


async def test_an_overwriting_write_that_meets_another_one_is_tried_again(stumbling):
    results, _ = stumbling(CONFLICT)
    await results.put("k", b"1")
    assert await results.get("k") == b"1"


async def test_a_store_that_never_takes_a_key_ends_as_storage_that_stays_away(stumbling):
    results, _ = stumbling(*[CONFLICT] * 9, patience=0.0)
    with pytest.raises(StorageError, match="not there") as caught:
        await results.put_new("k", b"1")
    assert caught.value.reason == "StorageUnreachable"


async def test_a_clock_that_is_wrong_is_waited_for_and_then_named(stumbling):
    results, _ = stumbling(SKEW)
    await results.put("k", b"1")
    results, _ = stumbling(SKEW, patience=0.0)
    with pytest.raises(StorageError, match="RequestTimeTooSkewed") as caught:
        await results.put("k", b"1")
    assert caught.value.reason == "StorageRefused"


async def test_who_may_not_write_does_not_try_again(stumbling):
    results, store = stumbling(DENIED)
    with pytest.raises(StorageError, match="AccessDenied"):
        await results.put("k", b"1")
    assert store.asked == 1


async def test_a_probe_does_not_ask_for_what_others_won(stumbling):
    results, store = stumbling(*[CONFLICT] * 4, patience=0.0)
    await results.probe_create("probe")
    assert store.asked == 4


NO_BUCKET = "Error performing GET http://h/evals/k in 2ms - 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>"
AWAY = (
    "Generic S3 error: Error performing list request: Error performing GET http://h:9/evals?prefix=k in {}, after {} "
    "retries, max_retries: 1, retry_timeout: 5s  - HTTP error: error sending request\n\n"
    'Debug source:\nConnectError("tcp connect error", h:9, Os {{ code: 111, message: "Connection refused" }})'
)


async def test_an_object_of_a_bucket_that_is_not_there_is_not_merely_absent(stumbling):
    results, store = stumbling()

    async def find_no_bucket(path):
        raise FileNotFoundError(NO_BUCKET)

    store.get_async = find_no_bucket
    with pytest.raises(StorageError, match="the bucket does not exist") as caught:
        await results.get("k")
    assert caught.value.reason == "StorageRefused"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (str(SKEW), "PUT http://h:9: 403 Forbidden: RequestTimeTooSkewed: The clocks differ."),
        (AWAY.format("2.26997ms", 1), "GET http://h:9: error sending request: Connection refused"),
        (AWAY.format("469.6µs", 2), "GET http://h:9: error sending request: Connection refused"),
        ('HTTP error: error sending request\nConnectError("dns error", Custom)', "error sending request: dns error"),
        ('HTTP error: error sending request\nOs { message: "Connection reset" }', "error sending request"),
        (f"Object at location k not found: {NO_BUCKET}", "the bucket does not exist"),
        ("<Error><Code>NoSuchBucket</Code><BucketName>b</BucketName></Error>", "the bucket b does not exist"),
        ("<Error><Code>ContainerNotFound</Code></Error>", "the bucket does not exist"),
        ("409 Conflict: <Error><Code>X</Code><Message>Why\nRequestId:1</Message></Error>", "409 Conflict: X: Why"),
        ("Unable to open file /x/k#12: Not a directory", "Unable to open file /x/k: Not a directory"),
        ("connection refused\nDebug source: x", "connection refused"),
        ("<Error><Code>SlowDown</Code></Error>", "SlowDown"),
        ("", ""),
    ],
)
def test_an_error_is_told_in_one_line_that_is_the_same_each_time(text, said):
    assert say_store_error(text) == said
