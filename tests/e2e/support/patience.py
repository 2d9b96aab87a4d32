"""Waiting for what a cluster does."""

import json
import time


def until(look, is_it=bool, *, seconds, pause=0.3):
    """Look again and again until something is so, and return it; the last sight fails the test."""
    end = time.monotonic() + seconds
    while not is_it(seen := look()):
        assert time.monotonic() < end, f"not so after {seconds} s: {json.dumps(seen, default=str)[:3000]}"
        time.sleep(pause)
    return seen
