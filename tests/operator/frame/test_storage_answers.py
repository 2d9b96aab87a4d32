"""Storage over a server whose answers do not mean what they seem to say."""

import pytest
from aiohttp import web

from toolorch_operator.errors import StorageDenied, StorageUnavailable
from toolorch_operator.storage import Storage

CONFLICT = 409, "<Error><Code>ConditionalRequestConflict</Code></Error>"
FAILED = 412, "<Error><Code>PreconditionFailed</Code></Error>"
SKEWED = 403, '<?xml version="1.0"?>\n<Error><Code>RequestTimeTooSkewed</Code><Message>Clocks.</Message></Error>'


@pytest.fixture
async def bucket(frame):
    """A folder on a server that answers creates as told, and then by what it holds."""
    told, held = [], set()

    async def put(request):
        if told:
            status, text = told.pop(0)
            return web.Response(status=status, text=text)
        if request.path in held:
            return web.Response(status=412, text=FAILED[1])
        held.add(request.path)
        return web.Response(headers={"ETag": '"1"'})

    async def get(request):
        headers = {"ETag": '"1"', "Last-Modified": "Fri, 20 Nov 2026 12:00:00 GMT"}
        return web.Response(status=200 if request.path in held else 404, headers=headers, body=b"1")

    async def delete(request):
        return web.Response(text="<DeleteResult><Deleted><Key>k</Key></Deleted></DeleteResult>")

    app = web.Application()
    app.router.add_put("/{key:.*}", put)
    app.router.add_get("/{key:.*}", get)
    app.router.add_post("/{key:.*}", delete)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "r", "AWS_ALLOW_HTTP": "true"}
    yield Storage(frame.metrics()).open("s3://evals/runs/r", {**keys, "AWS_ENDPOINT_URL": url}), told
    await runner.cleanup()


@pytest.mark.parametrize("answer", [CONFLICT, FAILED])
async def test_what_is_said_to_be_taken_and_is_not_there_is_no_success(bucket, answer):
    folder, told = bucket
    told.append(answer)
    with pytest.raises(StorageUnavailable, match="not there"):
        await folder.create("attempts/1/assignment.json", b"{}")
    assert await folder.create("attempts/1/assignment.json", b"{}")


@pytest.mark.parametrize("answer", [CONFLICT, FAILED])
async def test_what_is_said_to_be_taken_and_is_there_is_success(bucket, answer):
    folder, told = bucket
    await folder.create("attempts/1/assignment.json", b"{}")
    told.append(answer)
    assert not await folder.create("attempts/1/assignment.json", b"{}")


async def test_a_probe_whose_winner_was_not_told_so_says_nothing_against_the_store(bucket):
    folder, told = bucket
    told += [FAILED] * 32
    assert await folder.probe("token")


async def test_the_stores_own_words_are_told(bucket):
    folder, told = bucket
    told.append(SKEWED)
    with pytest.raises(StorageDenied, match="RequestTimeTooSkewed: Clocks"):
        await folder.create("k", b"")
