"""Where a run's numbers come from: dataset, programs, and what served its models at each attempt and at the end. PURE.

It is read from live objects when an attempt begins and when the report is written; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from toolorch_api.provenance import AttemptProvenance
from toolorch_api.run_input import PoolInput, RunInput, Serving
from toolorch_api.shard import SCHEMA_VERSION, Manifest

END = "the end"
# Fields of Serving in which two moments of a run may differ, with the words for them.
_COMPARED = {
    "image_id": "image",
    "revision": "revision",
    "engine_version": "engine",
    "served_id": "served id",
    "max_model_len": "longest context",
    "arguments": "command line",
}


def build_provenance(
    run: RunInput,
    manifest: Manifest,
    planned: Mapping[str, Any],
    attempts: Sequence[AttemptProvenance],
    served: Mapping[str, Mapping[str, int]],
    now: datetime,
) -> dict[str, Any]:
    """Build provenance.json; `planned` is run.json as the plan wrote it, `served` counts units by role and model id."""
    spec = run.spec
    return {
        "v": SCHEMA_VERSION,
        "run": run.name,
        "namespace": run.namespace,
        "uid": run.uid,
        "specHash": run.spec_hash,
        "benchmark": spec.benchmark.model_dump(mode="json", by_alias=True, exclude_none=True),
        "datasetHash": manifest.dataset_hash,
        "trials": spec.trials,
        "seed": spec.seed,
        "userVariants": spec.variant_names,
        "python": planned.get("python", ""),
        "packages": planned.get("packages", {}),
        "evaluatorImage": run.evaluator_image or next((a.evaluator_image for a in reversed(attempts)), ""),
        "plannedAt": planned.get("createdAt", ""),
        "writtenAt": now.isoformat(),
        "roles": {name: role.model_dump(mode="json", by_alias=True) for name, role in spec.roles.by_name().items()},
        "served": {role: dict(models) for role, models in served.items()},
        "attempts": [a.model_dump(mode="json", by_alias=True, exclude={"v", "spec_hash"}) for a in attempts],
        "pools": {name: pool.model_dump(mode="json", by_alias=True) for name, pool in run.pools.items()},
        "changes": find_changes(run, attempts),
    }


def find_changes(run: RunInput, attempts: Sequence[AttemptProvenance]) -> list[str]:
    """Return one sentence per setting of a pool that changed while the run went on; what was unknown is no change."""
    moments = [(f"attempt {a.attempt}", a.pools) for a in attempts] + [(END, run.pools)]
    return [
        f"{name}: {what} between {before} and {after}"
        for (before, old), (after, new) in pairwise(moments)
        for name in sorted(old.keys() & new.keys())
        for what in _differences(old[name], new[name])
    ]


def _differences(old: PoolInput, new: PoolInput) -> Iterator[str]:
    if old.serving.effective and new.serving.effective:
        yield from _changed_settings(old.serving, new.serving)
    for field, word in _COMPARED.items():
        before, after = getattr(old.serving, field), getattr(new.serving, field)
        if before and after and before != after:
            # Two command lines side by side are read by nobody; they stand in the document.
            yield f"another {word}" if field == "arguments" else f"{word} {before} → {after}"


def _changed_settings(old: Serving, new: Serving) -> Iterator[str]:
    for name in sorted(old.effective.keys() | new.effective.keys()):
        before, after = old.effective.get(name), new.effective.get(name)
        if before != after:
            yield f"{name} {'default' if before is None else before} → {'default' if after is None else after}"
