"""Where the brains' knowledge comes from: the packaged benchmark data, loaded at the first request that needs it."""

from __future__ import annotations

from functools import lru_cache

from toolorch_mock.brains.base import Reference

# More than any run has units of; an entry is a few hundred bytes.
_CACHED = 4096


@lru_cache(maxsize=_CACHED)
def load_reference(domain: str, task_slug: str) -> Reference | None:
    """Load the reference of a τ² task; None for an unknown domain or task."""
    from toolorch_evaluator.benchmarks.tau2.reference import reference, task_id_of_slug

    try:
        return reference(domain, task_id_of_slug(domain, task_slug))
    except (KeyError, ValueError):
        return None
