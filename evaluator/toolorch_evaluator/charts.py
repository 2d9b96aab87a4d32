"""Charts of a report, as PNG: drawn on figures of their own, so that nothing is shared and no display is needed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolorch_evaluator.breakdown import Row
from toolorch_evaluator.latency import RoleLatency

# One colour for one thing in all charts: blue is measured, grey is context.
BLUE, GREY, INK = "#2563a8", "#c9d1da", "#3a4450"
COLOURS = (BLUE, "#d9822b", "#3a8f5c", "#8e5ba6", "#b5473c", "#6b7785")
DPI = 140
_TIME_UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def draw_scores(rows: Sequence[Row], whole: Row) -> bytes:
    """Draw the score of each group and of the whole, with 95 % intervals."""
    shown = [*rows, whole] if len(rows) > 1 else list(rows)
    figure, axes = _canvas(0.5 * len(shown) + 1.1)
    for at, row in enumerate(reversed(shown)):
        score = row.score or 0.0
        axes.barh(at, score, height=0.55, color=INK if row is whole else BLUE)
        low, high = row.interval or (score, score)
        axes.plot([low, high], [at, at], color="black", linewidth=1.2, marker="|", markersize=8)
        axes.text(1.02, at, f"{score:.3f}  n={row.scored}" if row.scored else "none scored", va="center", fontsize=9)
    axes.set_yticks(range(len(shown)), [row.name for row in reversed(shown)])
    axes.set_xlim(0, 1)
    axes.set_xlabel("mean reward over scored units; line: 95 % Wilson interval")
    return _png(figure)


def draw_latency(rows: Sequence[RoleLatency]) -> bytes:
    """Draw which share of each role's calls was answered within how many seconds."""
    figure, axes = _canvas(3.0)
    for row, colour in zip(rows, COLOURS * (1 + len(rows) // len(COLOURS)), strict=False):
        seconds = [ms / 1000 for ms in row.curve_ms]
        shares = [(i + 1) / len(seconds) for i in range(len(seconds))]
        axes.step(seconds, shares, where="post", color=colour, label=f"{row.role} at {row.pool}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("seconds of one model call (logarithmic)")
    axes.set_ylabel("share of calls")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    return _png(figure)


def draw_pace(ends: Sequence[datetime], total: int) -> bytes:
    """Draw how many units had ended at what time."""
    figure, axes = _canvas(2.6)
    ordered = sorted(ends)
    span = (ordered[-1] - ordered[0]).total_seconds()
    unit, seconds = next(((u, s) for u, s in _TIME_UNITS if span >= 3 * s), _TIME_UNITS[-1])
    after = [(end - ordered[0]).total_seconds() / seconds for end in ordered]
    axes.step(after, range(1, len(after) + 1), where="post", color=BLUE)
    axes.axhline(total, color=GREY, linewidth=1)
    axes.set_ylim(0, total * 1.08)
    axes.set_xlabel(f"{unit} after the first unit's end")
    axes.set_ylabel(f"units ended (of {total})")
    return _png(figure)


def _canvas(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    return figure, axes


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    # Without dates and versions equal results give equal bytes.
    figure.savefig(target, format="png", dpi=DPI, metadata={"Software": None})
    return target.getvalue()
