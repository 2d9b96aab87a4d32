"""The run over time, as one PNG: units ended, units and calls under way, and when attempts began."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from matplotlib.axes import Axes

from toolorch_evaluator.charts import BLUE, COLOURS, FONT, GREY, INK, canvas, png
from toolorch_evaluator.occupancy import SLICES, Spans, mean_under_way

_TIME_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def draw_timeline(units: Spans, calls: Spans, total: int, attempts: Sequence[tuple[int, datetime]]) -> bytes:
    """Draw how many of `total` units had ended at what time, and how many units and calls were under way.

    There must be a unit that ended. What was under way is averaged over slices of the run, so that short calls count.
    Later attempts, by number and begin, are marked.
    """
    first, last = units.reach
    name, seconds = next(((n, s) for n, s in _TIME_UNITS if last - first >= 3 * s), _TIME_UNITS[-1])
    figure, (ended, running, asking) = canvas(4.6, 3)
    order = sorted(units.ends)
    ended.step(
        [0, *((end - first) / seconds for end in order), (last - first) / seconds],
        [*range(len(order) + 1), len(order)],
        where="post",
        color=BLUE,
    )
    ended.axhline(total, color=GREY, linewidth=1)
    ended.set_ylim(0, total * 1.08)
    _name(ended, f"units ended (of {total})")
    width = (last - first) / SLICES / seconds
    edges = [n * width for n in range(SLICES + 1)]
    for axes, spans, words, colour in (
        (running, units, "units under way", COLOURS[2]),
        (asking, calls, "model calls under way", COLOURS[1]),
    ):
        axes.stairs(mean_under_way(spans, first, last), edges, fill=True, color=colour)
        axes.set_ylim(bottom=0)
        _name(axes, words)
    marks = [((at.timestamp() - first) / seconds, number) for number, at in attempts if first < at.timestamp() < last]
    for axes in (ended, running, asking):
        for at, number in marks:
            axes.axvline(at, color=INK, linewidth=0.8, linestyle=":")
            if axes is ended:
                axes.text(at, total * 1.08, f" attempt {number}", fontsize=FONT - 2, color=INK, va="top")
    asking.set_xlabel(f"{name} after the first unit's begin")
    return png(figure)


def _name(axes: Axes, words: str) -> None:
    axes.set_title(words, loc="left", fontsize=FONT - 1, color=INK)
