"""Rewards equal those of τ²-bench v0.2.0 on conversations grown from reference actions by seeded disturbances.

golden_rewards.jsonl.gz holds, per line, which conversation, the hash of its text (so that the tools' answers are pinned
to the letter), and the reward and parts that v0.2.0's own evaluator gave it; reward null is a conversation on which it
raised.
"""

import gzip
import hashlib
import json
import re
from pathlib import Path

from toolorch_evaluator.benchmarks.tau2.benchmark import Tau2

GOLDEN = Path(__file__).with_name("golden_rewards.jsonl.gz")


def fingerprint(transcript):
    """Hash a transcript without what depends on the version of pydantic or of Python."""
    text = re.sub(r"errors\.pydantic\.dev/[0-9.]+/|\. Did you mean '[^']*'\?", "", json.dumps(transcript))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def test_rewards_and_parts_equal_upstream_on_disturbed_conversations(disturbed):
    rows = [json.loads(line) for line in gzip.decompress(GOLDEN.read_bytes()).splitlines()]
    assert len(rows) >= 500
    for domain, task_id, seed, text_hash, reward, parts in rows:
        transcript = disturbed(domain, task_id, seed)
        assert fingerprint(transcript) == text_hash, (domain, task_id, seed, "the tools answer otherwise than recorded")
        score = Tau2().score(transcript)
        assert (score.reward, dict(score.breakdown)) == (reward, parts), (domain, task_id, seed, score.error)
        assert (score.error is not None) == (reward is None)
