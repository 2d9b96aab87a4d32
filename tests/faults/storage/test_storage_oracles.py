"""The oracles of storage faults see what is wrong: an outcome without faults, in which one thing was changed."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from s3_oracles import judge
from s3_server import SECRET

pytestmark = pytest.mark.faults

RESULT = "results/control/retail/1/0.json"


def change_result(outcome, **fields):
    body = json.dumps({**json.loads(outcome.objects[RESULT]), **fields}).encode()
    return replace(outcome, objects={**outcome.objects, RESULT: body})


def lose(outcome, key):
    return replace(outcome, objects={k: v for k, v in outcome.objects.items() if k != key})


def say(outcome, condition, status):
    said = {"type": condition, "status": status, "message": ""}
    return replace(outcome, statuses=[*outcome.statuses, {"conditions": [said]}])


WRONG = {
    "a result is lost": ("results", lambda o: lose(o, RESULT)),
    "a reward is another": ("results", lambda o: change_result(o, reward=0.5)),
    "a result is nobody's": (
        "results",
        lambda o: replace(o, objects={**o.objects, "results/x.json": o.objects[RESULT]}),
    ),
    "a transcript is lost": ("transcripts", lambda o: lose(o, f"transcripts/{RESULT.removeprefix('results/')}.zst")),
    "a result is of another pod": ("transcripts", lambda o: change_result(o, pod="other")),
    "a result was overwritten": (
        "overwrites",
        lambda o: replace(o, seen=replace(o.seen, commits={**o.seen.commits, RESULT: ["a", "b"]})),
    ),
    "the run was said to have failed": ("verdict", lambda o: say(o, "Failed", "True")),
    "the run was said to be complete too early": ("verdict", lambda o: replace(o, early=["Complete with 3 results"])),
    "the run did not end": ("verdict", lambda o: replace(o, settled=False)),
    "a pod crashed": ("exits", lambda o: replace(o, ends=[replace(o.ends[0], code=70), *o.ends[1:]])),
    "a conversation was held twice": ("work", lambda o: replace(o, calls=o.calls + Counter(o.calls))),
    "each look at an outage was written down": (
        "rest",
        lambda o: replace(o, statuses=[{"reason": f"StorageUnavailable: in {n} ms"} for n in range(6)]),
    ),
    "a log holds the secret": ("secrets", lambda o: replace(o, ends=[replace(o.ends[0], log=SECRET), *o.ends[1:]])),
}


@pytest.mark.parametrize("what", WRONG)
async def test_an_oracle_sees_that(campaign, what):
    oracle, spoil = WRONG[what]
    reference = campaign.references["run"]
    assert judge(reference, reference) == []
    assert oracle in {told.partition(":")[0] for told in judge(reference, spoil(reference))}
