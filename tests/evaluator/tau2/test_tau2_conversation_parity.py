"""Conversations of scripted models go as they do upstream: who is shown what, each message, steps, end and reward.

golden_conversations.jsonl.gz holds, per line, the profile, the seed of the script, and what v0.2.0 or v1.0.1 itself
made of it, in a process of its own: why it ended, steps, reward (null where its evaluator raised), and a hash of all
messages and all that the models were shown. `python tests/evaluator/tau2/test_tau2_conversation_parity.py SEEDS` prints
the scripts for another harness.
"""

import asyncio
import gzip
import hashlib
import json
import random
import re
import sys
from pathlib import Path

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks.base import Reply, ToolCall
from toolorch_evaluator.benchmarks.tau2 import dataset
from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2

GOLDEN = Path(__file__).with_name("golden_conversations.jsonl.gz")
WORDS = {
    "assistant": ("hello", "ok then", "###STOP### no"),
    "user": ("hello", "yes", "bye ###TRANSFER###", "###STOP###"),
}
# More than any script has: v0.2.0 does not count errors.
UNCOUNTED = 1000


def script(seed, random_call):
    """What two models say and call in a telecom task, under which limits; one in four agents works alone."""
    rng = random.Random(seed)
    task = dataset.task("telecom", rng.choice(dataset.splits("telecom")["small"]))
    acts, solo = [[a.name, dict(a.arguments), a.requestor] for a in task.criteria.actions], seed % 4 == 0
    of_agent = [a for a in acts if solo or a[2] == "assistant"]
    of_user = [a for a in acts if a[2] == "user"]
    return {
        "seed": seed,
        "task": task.id,
        "solo": solo,
        "max_steps": rng.choice([3, 6, 9, 30]),
        "max_errors": rng.choice([1, 2, 3, 50]),
        "tamper": rng.randrange(50) if rng.random() < 0.3 else None,
        "agent": [reply(rng, "assistant", of_agent, solo, random_call) for _ in range(31)],
        "user": [] if solo else [reply(rng, "user", of_user, False, random_call) for _ in range(31)],
    }


def reply(rng, side, acts, solo, random_call):
    """The next reference action, any call at all, or words; an agent alone has `done` for words."""
    odds = rng.random()
    if acts and odds < 0.5:
        return {"content": rng.choice([None, "", "one moment"]), "calls": [acts.pop(0)[:2]]}
    if odds < 0.75 or (solo and odds < 0.9):
        calls = [random_call("telecom", rng)[:2] for _ in range(rng.choice([1, 1, 2]))]
        return {"content": rng.choice([None, "###STOP###" if side == "user" else "text"]), "calls": calls}
    if solo:
        return {"content": None, "calls": [["toggle_data", {}], ["done", {}]][rng.randrange(2) :]}
    return {"content": rng.choice(WORDS[side]), "calls": []}


class Scripted:
    """An Ask that plays a script and keeps what it was shown."""

    def __init__(self, played):
        self.left = {role: list(played[role]) for role in ("agent", "user")}
        self.shown = []
        self.count = 0

    async def __call__(self, role, messages, tools=(), seed=None, wants=None):
        first = [[m["role"], m["content"]] for m in messages[1:3]]
        names = sorted(t["function"]["name"] for t in tools)
        self.shown.append([role, first, len(messages), (wants or {}).get("tool_choice"), names])
        said, self.count = self.left[role].pop(0), self.count + 1
        calls = (ToolCall(f"c{self.count}_{n}", *call) for n, call in enumerate(said["calls"]))
        return Reply(said["content"], tuple(calls))


def play(played, profile):
    """Hold a script's conversation; return its transcript and what the models were shown."""
    errors = played["max_errors"] if profile == "tau2-v1" else UNCOUNTED
    options = {
        "profile": profile,
        "solo": played["solo"],
        "maxSteps": played["max_steps"],
        "maxErrors": errors,
    }
    fields = {"name": "tau2", "domains": ["telecom"], "options": options}
    spec = EvalRunSpec.model_validate({"benchmark": fields, "roles": {"agent": {"pool": "a"}, "user": {"pool": "u"}}})
    ask = Scripted(played)
    return asyncio.run(Tau2().converse(Unit("control", "telecom", played["task"], 0), spec, ask)), ask.shown


def fingerprint(messages, shown):
    """Hash what was said, called, answered and shown, without what depends on the version of pydantic."""
    said = [
        [m["role"], m["content"], [[c["name"], c["arguments"], c["requestor"]] for c in m.get("tool_calls") or []]]
        for m in messages
    ]
    text = re.sub(r"errors\.pydantic\.dev/[0-9.]+/", "", json.dumps([said, shown]))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def test_conversations_of_scripted_models_go_as_upstream(random_call):
    rows = [json.loads(line) for line in gzip.decompress(GOLDEN.read_bytes()).splitlines()]
    ends = set()
    for profile, seed, reason, steps, reward, digest in rows:
        played = script(seed, random_call)
        transcript, shown = play(played, profile)
        assert (transcript["termination_reason"], transcript["steps"]) == (reason, steps), (profile, seed)
        assert fingerprint(transcript["messages"], shown) == digest, (profile, seed)
        answers = [m for m in transcript["messages"] if m["role"] == "tool"]
        if answers and played["tamper"] is not None:
            answers[played["tamper"] % len(answers)]["content"] = "tampered"
        assert Tau2().score(transcript).reward == reward, (profile, seed)
        ends.add((profile, reason, reward))
    assert len(rows) == 160
    for profile in ("tau2-v0.2", "tau2-v1"):
        assert {(profile, "user_stop", 0.0), (profile, "agent_stop", 0.0), (profile, "max_steps", 0.0)} <= ends
    assert {("tau2-v0.2", "user_stop", None), ("tau2-v1", "too_many_errors", 0.0)} <= ends
    assert {1.0, None} <= {reward for *_, reward in ends}


if __name__ == "__main__":
    from conftest import random_call

    print(json.dumps([script(seed, random_call) for seed in range(int(sys.argv[1]))]))
