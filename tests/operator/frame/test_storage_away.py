"""Storage that stays away: the same failure has the same words, and is written down once."""

from base64 import b64encode

import pytest
from aiohttp import web

from toolorch_api.evalrun import EvalRun
from toolorch_operator.errors import StorageError
from toolorch_operator.evalrun.plan import plan
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.owner import Key
from toolorch_operator.reconcile import Brain, World, reconcile
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.storage import Storage

HEADER = '<?xml version="1.0"?>\n'
NO_BUCKET = f"{HEADER}<Error><Code>NoSuchBucket</Code><BucketName>evals</BucketName></Error>"
DENIED = f"{HEADER}<Error><Code>AccessDenied</Code><Message>You may not PutObject at %s</Message></Error>"
BUSY = f"{HEADER}<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "r", "AWS_ALLOW_HTTP": "true"}


@pytest.fixture
async def refusing():
    """Start a server that answers everything so, and return its address."""
    runners = []

    async def start(status, text):
        async def answer(request):
            return web.Response(status=status, text=text.replace("%s", request.path))

        app = web.Application()
        app.router.add_route("*", "/{key:.*}", answer)
        runners.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.1))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


def build_world(frame, address):
    """A run whose storage is there, and what looks at it."""
    data = {k: b64encode(v.encode()).decode() for k, v in {**KEYS, "AWS_ENDPOINT_URL": address}.items()}
    run = frame.run(output={"uri": "s3://evals/runs", "secretRef": {"name": "keys"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": data}
    cluster, metrics, freshness = frame.cluster(run, secret), frame.metrics(), Freshness()
    tokens = iter(["first-token", "second-token"])
    facts = Facts(lambda: next(tokens))
    observer = RunObserver(cluster, Storage(metrics), facts, frame.defaults, freshness)
    brain = Brain(EvalRun.model_validate, observer.observe, plan)
    return cluster, World(cluster, {"EvalRun": brain}, frame.defaults, frame.clock, metrics, freshness=freshness)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param((404, NO_BUCKET), "the bucket evals does not exist", id="no bucket"),
        pytest.param(
            (403, DENIED), "PUT ***: 403 Forbidden: AccessDenied: You may not PutObject at ", id="no permission"
        ),
        pytest.param(
            (503, BUSY), "PUT ***: 503 Service Unavailable: SlowDown: Please reduce your request rate.", id="too busy"
        ),
        pytest.param(None, "PUT ***: error sending request: Connection refused", id="nobody there"),
    ],
)
async def test_a_look_that_finds_the_same_failure_writes_nothing(frame, refusing, answer, said):
    cluster, world = build_world(frame, await refusing(*answer) if answer else "http://127.0.0.1:9")
    key = Key("EvalRun", "default", "run")
    await reconcile(key, world)
    status = cluster.find("EvalRun", "run")["status"]
    assert status["reason"].startswith(f"StorageUnavailable: {said}")
    assert "-token" not in str(status)
    written = list(cluster.writes)
    world.freshness.mark(key)
    await reconcile(key, world)
    assert cluster.find("EvalRun", "run")["status"] == status
    assert cluster.writes == written


async def test_an_object_of_a_bucket_that_is_not_there_is_not_merely_absent(frame, refusing):
    keys = {**KEYS, "AWS_ENDPOINT_URL": await refusing(404, NO_BUCKET)}
    folder = Storage(frame.metrics()).open("s3://evals/runs/r", keys)
    with pytest.raises(StorageError, match="the bucket evals does not exist"):
        await folder.get("manifest.json")
