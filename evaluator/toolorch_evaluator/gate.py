"""The gate of a run: its results against the stored ones of its baseline. A gate that cannot tell breaks no report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolorch_api.conditions import RunReason
from toolorch_api.shard import Baseline, GateOutcome, RunInput
from toolorch_evaluator.comparison import Comparison, Side, compare, judge
from toolorch_evaluator.exits import StepError
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.small_store import SmallStore
from toolorch_evaluator.stored_runs import read_side

OpenFolder = Callable[[str], Results]
# The report has more to tell than its gate: it waits for a baseline that is away no longer than this.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class GateFinding:
    """What the gate says, and the numbers behind it."""

    outcome: GateOutcome
    comparison: Comparison | None = None
    """None where there was nothing to compare with."""


async def hold_against_baseline(run: RunInput, after: Side, open_folder: OpenFolder) -> GateFinding | None:
    """Compare a run with its baseline; None without spec.gate."""
    gate = run.spec.gate
    if gate is None:
        return None
    baseline = run.baseline or Baseline(name=gate.baseline)
    if not baseline.root:
        return _unavailable(baseline.problem or f"run.json does not say where the results of {gate.baseline} are")
    try:
        before = await read_side(open_folder(baseline.root), baseline.name)
    except StepError as error:
        return _unavailable(f"{baseline.name} at {baseline.root}: {error.message}")
    comparison = compare(before, after)
    return GateFinding(judge(comparison, gate.max_drop), comparison)


def baseline_opener(env: Mapping[str, str]) -> OpenFolder:
    """Return what opens a baseline's folder by its URI, with the credentials of an environment."""
    return lambda root: Results(SmallStore(open_store(root, env)), PATIENCE_SECONDS)


def _unavailable(problem: str) -> GateFinding:
    return GateFinding(GateOutcome(reason=RunReason.BASELINE_UNAVAILABLE, message=problem))
