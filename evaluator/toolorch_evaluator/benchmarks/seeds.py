"""Seeds of trials, the same in every benchmark."""

from __future__ import annotations

import random

# τ²-bench's range.
MAX_SEED = 1_000_000


def trial_seed(seed: int, trial: int) -> int:
    """Return the seed of a trial, counted from 0: drawn as τ²-bench draws it, so equal runs meet equal seeds."""
    drawn = random.Random(seed)
    return [drawn.randint(0, MAX_SEED) for _ in range(trial + 1)][trial]
