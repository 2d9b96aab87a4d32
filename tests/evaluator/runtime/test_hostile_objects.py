"""Objects that somebody put into a run's folder to harm who reads it: bounded, refused by name, and the rest counts."""

import json

import obstore
import pytest
import zstandard
from obstore.store import MemoryStore

from toolorch_api.keys import MANIFEST_KEY, result_key
from toolorch_api.shard import Manifest, Unit
from toolorch_evaluator.profile import LONGEST_LINE, parse_events
from toolorch_evaluator.results import Results
from toolorch_evaluator.small_store import MOST_BYTES, MOST_SMALL_BYTES, SmallStore, unpack_bytes
from toolorch_evaluator.stored import unpack
from toolorch_evaluator.stored_runs import read_planned, read_results, read_told

UNIT = Unit("control", "retail", "../../etc/passwd", 0)
KEY = result_key(UNIT)


@pytest.fixture
def folder():
    """A folder in memory, and what a reader sees of it."""
    store = MemoryStore()
    return store, Results(SmallStore(store), patience=0.0)


@pytest.mark.parametrize(("key", "most"), [(KEY, MOST_SMALL_BYTES), (MANIFEST_KEY, MOST_BYTES)])
async def test_an_object_that_is_too_large_reads_as_empty(folder, key, most):
    store, results = folder
    obstore.put(store, key, bytes(most))
    assert len(await results.get(key)) == most
    obstore.put(store, key, bytes(most + 1), use_multipart=False)
    assert await results.get(key) == b""


@pytest.mark.parametrize(
    "body", [b"x" * (MOST_SMALL_BYTES + 1), b"[" * 200_000, b"\xff", b'{"reward": 1}'],
    ids=["too large", "too deep", "no text", "not a result"],
)  # fmt: skip
async def test_a_result_that_nobody_wrote_is_refused_by_name(folder, body):
    store, results = folder
    obstore.put(store, KEY, body, use_multipart=False)
    manifest = Manifest(spec_hash="h", dataset_hash="d", units=[(UNIT.variant, UNIT.domain, UNIT.task_id, UNIT.trial)])
    found = await read_results(results, manifest, "results/", {KEY: UNIT})
    assert (found.by_unit, found.refused) == ({}, {KEY: "unreadable"})


async def test_what_tells_of_a_run_is_read_up_to_a_depth(folder):
    store, results = folder
    for key in ("run.json", "prompts.json"):
        obstore.put(store, key, b"[" * 200_000)
    assert await read_told(results) == {}
    with pytest.raises(Exception, match="is not what a plan writes"):
        await read_planned(results)


def test_a_page_of_zeros_is_unpacked_up_to_a_size():
    packed = zstandard.ZstdCompressor().compress(bytes(3_000_000))
    assert len(packed) < 1000
    assert unpack_bytes(packed, 3_000_000) == bytes(3_000_000)
    with pytest.raises(ValueError, match="more than 2999999 bytes when unpacked"):
        unpack_bytes(packed, 2_999_999)


def test_a_transcript_of_any_depth_is_damaged():
    assert unpack(zstandard.ZstdCompressor().compress(b"[" * 200_000), "h") is None


def test_an_event_without_end_is_none():
    line = json.dumps({"n": 1}) + "\n"
    body = zstandard.ZstdCompressor().compress(line.encode() + b'{"x": "' + b"x" * LONGEST_LINE * 100)
    events = parse_events(body)
    assert next(events) == {"n": 1}
    with pytest.raises(ValueError, match="Unterminated string"):
        next(events)
