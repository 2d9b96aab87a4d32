"""What status.served says of a pool's servers, for runs' provenance."""

import pytest

from toolorch_api.modelpool_status import Served
from toolorch_operator.modelpool.served import blank_secrets, find_revision

COMMIT = "0123abcd" * 5
IMAGE = "docker.io/vllm/vllm-openai@sha256:" + "ab" * 32


def test_a_ready_servers_image_and_command_line_stand_in_status_and_cost_no_further_write(world, oom_above):
    w = world(
        **{"dies": oom_above(85), "revision": COMMIT, "gpuMemoryUtilization": 95, "extraArgs": ["--hf-token", "s"]}
    )
    start = w._start

    def with_image(template, name):
        pod = start(template, name)
        pod["status"]["containerStatuses"][0]["imageID"] = IMAGE
        return pod

    w._start = with_image
    w.settle()
    served = w.pool.status.served
    assert (served.image_id, served.revision, served.engine_version) == (IMAGE, COMMIT, "0.33.0")
    assert served.arguments[:3] == ["vllm", "serve", "mock/oracle"]
    assert "0.85" in served.arguments, "as remediated"
    assert served.arguments[-2:] == ["--hf-token", "***"]
    before = w.pool.status
    w.reconcile()
    assert w.pool.status == before


def test_what_was_known_of_the_servers_stays_while_none_of_them_speaks(world):
    w = world()
    w.settle()
    known = w.pool.status.served
    w.pods.clear()
    w.reconcile()
    assert w.pool.status.served == known


CACHE = {"persistentVolumeClaim": "models"}


@pytest.mark.parametrize(
    ("spec", "told", "before", "revision"),
    [
        pytest.param({"revision": "v2"}, COMMIT, "", COMMIT, id="what the fetch tells"),
        pytest.param({"revision": "v2"}, "", "", "v2", id="else what the spec asks for"),
        pytest.param({}, "", "", "", id="nobody knows the newest of an unnamed revision"),
        pytest.param({"revision": COMMIT}, "", "f" * 40, COMMIT, id="a commit in the spec is one"),
        pytest.param({"cache": CACHE}, "", COMMIT, COMMIT, id="what a fetch told before, while its files are used"),
        pytest.param({}, "", COMMIT, "", id="not without a cache: each pod takes the newest"),
        pytest.param({"cache": CACHE}, "", "v1", "", id="an earlier wish is no knowledge"),
    ],
)
def test_the_revision_is(pool_of, spec, told, before, revision):
    pool = pool_of(**spec)
    status = pool.status.model_copy(update={"served": Served(revision=before)})
    assert find_revision(pool.model_copy(update={"status": status}), told) == revision


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("--api-key sk-1 sk-2 --port 1", "--api-key *** *** --port 1"),
        ("--api-key=sk-1 --seed 1", "--api-key=*** --seed 1"),
        ("--hf_token hf_1", "--hf_token ***"),
        ("--hf-overrides.auth_token=x", "--hf-overrides.auth_token=***"),
        ("--max-num-batched-tokens 8192", "--max-num-batched-tokens 8192"),
        ("--tokenizer org/tiny --tokenizer-mode auto", "--tokenizer org/tiny --tokenizer-mode auto"),
        ("--return-tokens-as-token-ids --seed 1", "--return-tokens-as-token-ids --seed 1"),
        ('{"auth_token":"x","tokenizer":"y"}', '{"auth_token":"***","tokenizer":"y"}'),
        ('{"a":{"apiKey":"x\\"y"}}', '{"a":{"apiKey":"***"}}'),
        ("--otlp-traces-endpoint https://me:word@host/x", "--otlp-traces-endpoint https://***@host/x"),
    ],
)
def test_no_secret_of_a_command_line_is_shown(given, shown):
    assert " ".join(blank_secrets(given.split(" "))) == shown
