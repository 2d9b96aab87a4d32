"""The chart of docs/performance.md: how what the operator needs grows with what it looks after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

Figures = Sequence[Mapping[str, float]]
_PANELS = (
    ("seconds", (("floor_seconds", "bare Jobs"), ("runs_seconds", "runs"), ("pools_seconds", "pools")), True),
    ("seconds of the operator's CPU", (("cpu_runs", "runs"), ("cpu_pools", "pools")), True),
    ("MiB resident", (("peak_mib", "most, with runs"), ("peak_pools_mib", "most, with pools alone")), False),
    ("requests to the API server, each", (("requests_per_run", "run"), ("requests_per_pool", "pool")), False),
)
"""Title, fields with their names, and whether what is shown is bound to grow: then on a logarithmic axis."""


def draw(figures: Figures, path: Path) -> None:
    """Draw what each size measured, over its runs; dotted: in proportion to the smallest size."""
    made, panels = pyplot.subplots(1, len(_PANELS), figsize=(14, 3.4), layout="constrained")
    sizes = [row["runs"] for row in figures]
    for axes, (title, fields, grows) in zip(panels, _PANELS, strict=True):
        for field, name in fields:
            values = [row[field] for row in figures]
            (line,) = axes.plot(sizes, values, marker="o", label=name)
            if grows:
                straight = [values[0] * size / sizes[0] for size in sizes]
                axes.plot(sizes, straight, linestyle=":", color=line.get_color(), linewidth=1)
        axes.set(
            title=title, xlabel="runs (half as many pools of 8)", xscale="log", yscale="log" if grows else "linear"
        )
        if not grows:
            axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.3)
    made.savefig(path, dpi=110)
