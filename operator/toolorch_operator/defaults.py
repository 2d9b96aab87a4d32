"""What the chart sets for every object that does not say it itself, as a value. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolorch_api.run_input import Price


@dataclass(frozen=True, slots=True)
class Defaults:
    """Fallbacks that the brains resolve a spec with; an empty text means that there is none."""

    vllm_image: str
    """Image of a pool's pods where spec.image is absent."""
    evaluator_image: str
    """Image of a run's pods."""
    operator_image: str = ""
    """Image of the pods that ask external servers which want a key: the operator's own."""
    output_uri: str = ""
    """Storage of a run's results where spec.output is absent."""
    output_secret: str = ""
    """Name of the Secret, in the run's namespace, that opens output_uri."""
    local_root: str | None = None
    """file:// URI below which runs may have their folders in the operator's own file system; empty: none, None: any."""
    fetch_command: tuple[str, ...] = ()
    """Words of the command that fetches a model, with {model} and {revision} in them; empty: the hub's own."""
    stall_seconds: float = 180.0
    """An engine that makes no progress for so long while requests run is restarted."""
    run_stall_seconds: float = 600.0
    """The least time without an ended unit after which a run counts as stalled."""
    run_resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Requests and limits of a run's pods; empty: the built-in ones."""
    prices: Mapping[str, Price] = field(default_factory=dict)
    """What tokens cost, by name of a pool or of a model; a pool's own goes first."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Texts of the programs that a pool's pods run around the model server, by file name."""
