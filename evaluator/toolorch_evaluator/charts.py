"""Charts of a report, as PNG: drawn on figures of their own, so that nothing is shared and no display is needed.

They are as wide as a phone's screen is at their letters' size; a page shows two of them side by side.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolorch_evaluator.breakdown import Row
from toolorch_evaluator.latency import HISTOGRAM_MS, RoleLatency

# One colour for one thing in all charts: blue is measured, grey is context.
BLUE, GREY, INK = "#2563a8", "#c9d1da", "#3a4450"
COLOURS = (BLUE, "#d9822b", "#3a8f5c", "#8e5ba6", "#b5473c", "#6b7785")
# Inches. Shown 360 pixels wide, letters of ten points are ten pixels high.
WIDTH = 5.0
DPI = 150
FONT = 10
# More bars are read by nobody on one page; the tables and results.csv have them all.
MOST_BARS = 40
# Characters; no name of ours has as many, and a longer one would leave no room for the chart.
LONGEST_LABEL = 40


def draw_scores(sections: Sequence[Sequence[Row]], whole: Row) -> bytes:
    """Draw the score of each group and of the whole, with 95 % intervals; groups of one kind stand together."""
    shown = [(row, n) for n, rows in enumerate(sections) for row in rows][:MOST_BARS]
    if len(shown) != 1:
        shown.append((whole, len(sections)))
    places = [place + 0.5 * section for place, (_, section) in enumerate(shown)]
    figure, (axes,) = canvas(0.36 * places[-1] + 1.2)
    for at, (row, _) in zip(places, shown, strict=True):
        score = row.score or 0.0
        axes.barh(at, score, height=0.6, color=INK if row is whole else BLUE)
        low, high = row.interval or (score, score)
        axes.plot([low, high], [at, at], color="black", linewidth=1.2, marker="|", markersize=8)
        words = f"{score:.3f}  n={row.scored}" if row.scored else "none scored"
        axes.text(1.03, at, words, va="center", fontsize=FONT - 1)
    axes.set_yticks(places, [as_label(row.name) for row, _ in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("mean reward over scored units;\nline: 95 % Wilson interval")
    return png(figure)


def draw_latency(rows: Sequence[RoleLatency]) -> bytes:
    """Draw which share of each role's calls was answered within how many seconds."""
    called = [row for row in rows if row.calls]
    figure, (axes,) = canvas(3.2)
    for row, colour in zip(called, _colours(len(called)), strict=True):
        seconds = [ms / 1000 for ms in row.curve_ms]
        shares = [(i + 1) / len(seconds) for i in range(len(seconds))]
        axes.step(seconds, shares, where="post", color=colour, label=_name(row, rows))
    _set_seconds(axes)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("share of calls")
    axes.legend(frameon=False, fontsize=FONT - 1, loc="lower right")
    return png(figure)


def draw_histogram(rows: Sequence[RoleLatency]) -> bytes:
    """Draw how many calls of each role took how long, one role below the other over one scale."""
    called = [row for row in rows if row.calls]
    figure, panels = canvas(0.75 * len(called) + 0.9, len(called))
    edges = [ms / 1000 for ms in HISTOGRAM_MS]
    filled = [n for row in called for n, count in enumerate(row.histogram) if count]
    for axes, row, colour in zip(panels, called, _colours(len(called)), strict=True):
        axes.stairs(row.histogram, edges, fill=True, color=colour)
        axes.text(0.0, 1.0, _name(row, rows), transform=axes.transAxes, va="bottom", fontsize=FONT - 1, color=colour)
        axes.set_yticks([max(row.histogram)])
        axes.set_xlim(edges[max(0, min(filled) - 1)], edges[min(len(edges) - 1, max(filled) + 2)])
    _set_seconds(panels[-1])
    return png(figure)


def canvas(height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many inches with panels one below the other, which share their scale of x."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    grid = figure.subplots(panels, sharex=True, squeeze=False)
    drawn = [row[0] for row in grid]
    for axes in drawn:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=FONT - 1, colors=INK)
        axes.xaxis.label.set_fontsize(FONT)
        axes.yaxis.label.set_fontsize(FONT)
    return figure, drawn


def as_label(name: str) -> str:
    """Return a name as a chart writes it: short, and no formula, which matplotlib would set or break on."""
    printable = "".join(c if c.isprintable() else "?" for c in name)
    short = printable if len(printable) <= LONGEST_LABEL else f"{printable[: LONGEST_LABEL - 1]}…"
    return short.replace("$", r"\$")


def png(figure: Figure) -> bytes:
    """Return the bytes of a figure; equal figures give equal bytes."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None})
    return target.getvalue()


def _set_seconds(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("seconds of one model call (logarithmic)")


def _name(row: RoleLatency, rows: Sequence[RoleLatency]) -> str:
    """Return the role's name, with the pool where another one played it too."""
    return as_label(row.role if sum(other.role == row.role for other in rows) == 1 else f"{row.role} at {row.pool}")


def _colours(count: int) -> Sequence[str]:
    return (COLOURS * (1 + count // len(COLOURS)))[:count]
