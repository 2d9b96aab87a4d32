"""Objects and Secrets that somebody put there to harm the operator: bounded, refused, and never followed elsewhere."""

from __future__ import annotations

import http.server
import threading
from contextlib import nullcontext

import obstore
import pytest

from toolorch_api.evalrun import EvalRun
from toolorch_api.shard import Manifest
from toolorch_operator.defaults import Defaults
from toolorch_operator.errors import StorageError, StorageInvalid
from toolorch_operator.evalrun.wants import StorageWants
from toolorch_operator.facts import MOST_SMALL_BYTES, Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.opening import refuse_local
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.storage import MOST_BYTES, Storage

CANARY = "canary-of-the-service-account"


@pytest.fixture
def folder(frame, tmp_path):
    return Storage(frame.metrics()).open(f"file://{tmp_path}/evals/run-1234", {})


@pytest.fixture
def listener():
    """A server of the attacker's that keeps all it is sent."""
    heard: list[str] = []

    class Ear(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("content-length") or 0)
            heard.append(f"{self.path}\n{self.headers}\n{self.rfile.read(length).decode()}")
            self.send_error(403)

        do_POST = do_PUT = do_GET

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ear)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        pytest.param(
            "s3://b/p/run", ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"), id="s3"
        ),
        pytest.param("az://b/p/run", ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"), id="az"),
    ],
)
async def test_no_secret_makes_the_operator_send_its_own_token_to_a_server_of_the_secrets(
    frame, tmp_path, listener, uri, names
):
    url, heard = listener
    token = tmp_path / "token"
    token.write_text(CANARY)
    common = {"AWS_ALLOW_HTTP": "true", "AZURE_ALLOW_HTTP": "true", "AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}
    secret = {names[0]: str(token), names[1]: url, "AZURE_STORAGE_ACCOUNT_NAME": "acc", "AWS_REGION": "r", **common}
    with pytest.raises(StorageError) as caught:
        await Storage(frame.metrics()).open(uri, secret).get("run.json")
    assert CANARY not in str(caught.value) + "".join(heard)
    assert isinstance(caught.value, StorageInvalid)


@pytest.mark.parametrize(
    ("uri", "root", "is_refused"),
    [
        ("file:///etc/run-1", "", True),
        ("file:///data/runs/run-1", "file:///data/runs", False),
        ("file:///data/run-1", "file:///data/runs", True),
        ("file:///data/runs-of-others/run-1", "file:///data/runs", True),
        ("file:///data/runs/../../etc/run-1", "file:///data/runs", True),
        ("file:///data/runs/%2e%2e/%2e%2e/etc/run-1", "file:///data/runs", True),
        ("file://data/runs/run-1", "file:///data/runs", True),
        ("s3://etc/run-1", "", False),
        ("file:///etc/run-1", None, False),
    ],
)
def test_a_run_names_no_folder_of_the_operators_but_one_that_is_given_to_runs(uri, root, is_refused):
    with pytest.raises(StorageInvalid, match="operator's own machine") if is_refused else nullcontext():
        refuse_local(uri, root)


async def test_a_run_with_a_folder_of_the_operators_is_told_so_and_nothing_is_made_there(frame, tmp_path):
    folder = tmp_path / "evals"
    run = frame.run()
    run["spec"]["output"] = {"uri": f"file://{folder}"}
    defaults = Defaults("v", "e", local_root="")
    runs = RunObserver(frame.cluster(run), Storage(frame.metrics()), Facts(lambda: "t"), defaults, Freshness())
    seen = (await runs.observe(EvalRun.model_validate(run))).seen
    assert not seen.storage.reachable
    assert "not on this operator" in seen.storage.error
    assert not folder.exists()


async def test_an_object_that_is_too_large_is_not_read(folder):
    await folder.create("summary.json", b"x" * 100)
    assert await folder.get("summary.json", most=100) is not None
    with pytest.raises(StorageInvalid, match=r"summary\.json has 100 bytes"):
        await folder.get("summary.json", most=99)


@pytest.mark.parametrize(
    ("key", "wants", "most"),
    [
        pytest.param("manifest.json", StorageWants(manifest=True), MOST_BYTES, id="a manifest"),
        pytest.param("progress/1-0.json", StorageWants(progress=True), MOST_SMALL_BYTES, id="progress"),
        pytest.param("report/summary.json", StorageWants(summary=True), MOST_BYTES, id="a summary"),
    ],
)
async def test_each_object_that_the_operator_reads_has_a_largest_size(folder, tmp_path, key, wants, most):
    path = tmp_path / "evals" / "run-1234" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:  # sparse: a gigabyte that nobody has to hold
        file.truncate(2**30)
    with pytest.raises(StorageInvalid, match=f"more than the {most} that are read"):
        await Facts(lambda: "t").read(folder, "r", wants)


async def test_a_folder_of_any_number_of_objects_is_not_held_whole(frame):
    store = Storage(frame.metrics()).open("memory://evals/run-1234", {})
    for number in range(1001):
        obstore.put(store.store, f"{store.name}/results/{number}.json", b"")
    with pytest.raises(StorageInvalid, match="more than 1000 objects lie below results/"):
        await store.list("results/", most=1000)


async def test_json_of_any_depth_is_no_manifest_and_no_crash(folder):
    await folder.create("manifest.json", b'{"units": ' + b"[" * 100_000)
    with pytest.raises(StorageInvalid, match=r"manifest\.json is not what toolorch writes there"):
        await Facts(lambda: "t").read(folder, "r", StorageWants(manifest=True))


async def test_manifests_are_remembered_up_to_a_number_of_units_in_all(frame):
    storage, facts = Storage(frame.metrics()), Facts(lambda: "t", units_remembered=3)
    manifest = Manifest(spec_hash="h", dataset_hash="d", units=[("control", "retail", str(n), 0) for n in range(2)])
    for name in "abc":
        folder = storage.open(f"memory://evals/{name}", {})
        await folder.create("manifest.json", manifest.model_dump_json(by_alias=True).encode())
        assert (await facts.read(folder, name, StorageWants(manifest=True))).manifest == manifest
    assert list(facts._memories) == ["b", "c"]
