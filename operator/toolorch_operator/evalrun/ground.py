"""What holds at every step of an unfinished run: its pools, its manifest, its place in storage, its run.json. PURE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from toolorch_api.conditions import RunCondition, RunReason
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.gate import say_baseline
from toolorch_operator.evalrun.names import input_config_map
from toolorch_operator.evalrun.objects import build_input
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.pools import all_pools_exist, say_pools
from toolorch_operator.evalrun.stall import keep_stall
from toolorch_operator.evalrun.step import Says, Step


def add_ground(run: EvalRun, observed: ObservedRun, defaults: Defaults, step: Step) -> Step:
    """Return the step with all that it leaves unsaid; what it says itself stays."""
    output, manifest = resolve_output(run, defaults), observed.storage.manifest
    says = {
        RunCondition.POOLS_READY: say_pools(run, observed),
        RunCondition.STALLED: keep_stall(run),
        **say_baseline(run, observed),
    }
    changes: dict[str, Any] = {}
    if output is not None:
        changes = {"results": output.root, "spec_hash": run.status.spec_hash or spec_hash(run.spec)}
    if not run.spec.suspend:
        says[RunCondition.SUSPENDED] = Says(False, RunReason.NOT_SUSPENDED)
    if manifest is not None:
        says[RunCondition.PLANNED] = Says(True, RunReason.PLANNED, f"{len(manifest.units)} units")
    return replace(
        _add_input(run, observed, defaults, step), says={**says, **step.says}, changes={**changes, **step.changes}
    )


def _add_input(run: EvalRun, observed: ObservedRun, defaults: Defaults, step: Step) -> Step:
    """Add the ConfigMap with run.json, ahead of pods that mount it where it is absent.

    Where a pool is gone that it tells of, or the run has failed, what is there stays as it is.
    """
    output, failed = resolve_output(run, defaults), step.says.get(RunCondition.FAILED)
    if output is None or not all_pools_exist(run, observed) or (failed is not None and failed.truth):
        return step
    config_map = build_input(run, observed, output.root, spec_hash(run.spec), defaults.prices)
    if input_config_map(run) in observed.config_maps:
        return replace(step, apply=(config_map, *step.apply))
    return replace(step, create=(config_map, *step.create))
