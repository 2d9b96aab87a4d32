"""Where a run's results go: its own output, or the chart's. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from toolorch_api.evalrun import EvalRun
from toolorch_api.keys import run_folder
from toolorch_operator.defaults import Defaults


@dataclass(frozen=True, slots=True)
class RunOutput:
    """A run's place in object storage."""

    root: str
    """URI of the run's folder, without a slash at the end."""
    secret: str = ""
    """Secret of the run's namespace whose keys are the storage's environment variables; empty: none."""


def resolve_output(run: EvalRun, defaults: Defaults) -> RunOutput | None:
    """Return where a run's results go; None where neither the spec nor the chart says so.

    The chart's Secret goes with the chart's URI only: it must not be shown to a storage that a run names itself.
    """
    own = run.spec.output
    uri = own.uri if own else defaults.output_uri
    if not uri:
        return None
    secret = (own.secret_ref.name if own.secret_ref else "") if own else defaults.output_secret
    return RunOutput(f"{uri.rstrip('/')}/{run_folder(run.metadata.name, run.metadata.uid)}", secret)
