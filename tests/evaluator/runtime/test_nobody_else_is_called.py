"""Whatever the environment of a shard holds: it connects to the spec's endpoints only, and with the pools' own keys."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
import zstandard

from toolorch_api.shard import ExitCode

PROGRAM = Path(__file__).with_name("audited_evaluator.py")
CANARY = "canary-7d1f"
ZSTD = b"\x28\xb5\x2f\xfd"
KEYS = ("NEBIUS_API_KEY", "OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "TOGETHER_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN")
OTHERS = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_WEBHOOK_SECRET")
ADDRESSES = ("OPENAI_BASE_URL", "OPENAI_API_BASE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy")


def tempting(url):
    """An environment that offers keys, headers, proxies and other servers at this address."""
    headers = f"Authorization: Bearer {CANARY}\nX-Secret: {CANARY}"
    named = dict.fromkeys((*KEYS, *OTHERS), CANARY)
    return named | dict.fromkeys(ADDRESSES, url) | {"OPENAI_CUSTOM_HEADERS": headers, "OPENAI_LOG": "debug"}


@pytest.fixture
def two_pools(make_world):
    """A world whose agent is the cluster's own and whose user is an external server with a key."""
    roles = {"agent": {"pool": "pool-a", "maxTokens": 50}, "user": {"pool": "pool-b", "maxTokens": 50}}
    world = make_world(roles=roles)
    pools = world.run.pools | {"pool-b": world.run.pools["pool-a"].model_copy(update={"external": True})}
    world.run = world.run.model_copy(update={"pools": pools})
    (world.folder / "input" / "run.json").write_text(world.run.model_dump_json(by_alias=True))
    (world.folder / "input" / "keys").mkdir()
    (world.folder / "input" / "keys" / "pool-b").write_text("sk-own")
    return world


async def run_audited(world, log, **env):
    """Run the world's shard as a program; return what it said, and what it wrote down of its connections."""
    env |= {
        "TOOLORCH_INPUT_DIR": str(world.settings.input_dir),
        "TOOLORCH_POD": "pod-1",
        "TOOLORCH_TERMINATION_LOG": str(world.settings.termination_log),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(log), "shard", env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await child.communicate()
    assert child.returncode == ExitCode.OK, said.decode()
    return said.decode(), log.read_text().splitlines()


def stored(world):
    """Everything that the run has stored, unpacked."""
    for path in (world.folder / "store").rglob("*"):
        if path.is_file():
            body = path.read_bytes()
            yield zstandard.ZstdDecompressor().decompressobj().decompress(body) if body.startswith(ZSTD) else body


async def test_only_the_specs_servers_are_called_and_only_with_their_pools_keys(
    two_pools, model_servers, scripted, tmp_path
):
    world = two_pools
    own, external, trap = [await model_servers() for _ in range(3)]
    world.point(own)
    world.point(external, pool="pool-b")
    await world.assign(scripted(4).units)
    said, connections = await run_audited(world, tmp_path / "connections", **tempting(trap.url))

    assert trap.requests == []
    looked_up = {line for line in connections if line.startswith("socket.")}
    assert all("'127.0.0.1'" in line for line in looked_up)
    addresses = {server.url.removeprefix("http://").removesuffix("/v1") for server in (own, external)}
    assert set(connections) - looked_up == addresses
    assert (len(own.requests), len(external.requests)) == (8, 4)
    assert {headers["Authorization"] for _, headers in own.requests} == {"Bearer EMPTY"}
    assert {headers["Authorization"] for _, headers in external.requests} == {"Bearer sk-own"}
    sent = json.dumps([[body, dict(headers)] for body, headers in own.requests + external.requests])
    kept = list(stored(world))
    assert len(kept) >= 8
    assert CANARY not in sent + said
    assert "sk-own" not in said
    assert not [body for body in kept if CANARY.encode() in body or b"sk-own" in body]
