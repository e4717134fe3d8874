"""A forest plot: differences with their intervals, one below the other, beside the line of no difference."""

import io
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sfumato.escape import visible
from sfumato.reporting.figures import LINES

HELPS, HARMS, UNDECIDED = LINES[0], LINES[1], LINES[7]
"""Colours of intervals above, below and around zero."""

_WIDTH, _HEIGHT, _MARGIN = 5.4, 0.3, 0.75
"""Inches: of the figure, of a line in it, and of what is above and below the lines."""


class ForestRow(NamedTuple):
    """One difference with its interval."""

    name: str
    value: float
    low: float
    high: float


def forest(lines: Sequence[ForestRow], *, unit: str, ink: str) -> bytes:
    """The plot as a PNG without background, for a page on which `ink` can be read."""
    height = _MARGIN + _HEIGHT * len(lines)
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.add_axes((0.44, 0.6 / height, 0.54, (height - _MARGIN) / height))
    axes.axvline(0, color=ink, linewidth=0.9)
    for place, line in enumerate(lines):
        colour = HELPS if line.low > 0 else HARMS if line.high < 0 else UNDECIDED
        axes.plot([line.low, line.high], [place, place], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot(line.value, place, marker="s", color=colour, markersize=5.5)
    axes.set_yticks(range(len(lines)), [visible(line.name) for line in lines], parse_math=False)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel(unit, color=ink, fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.tick_params(which="both", colors=ink, labelsize=8.5, length=3)
    axes.grid(which="major", axis="x", color=ink, alpha=0.14, linewidth=0.7)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(ink)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=150, transparent=True)
    return buffer.getvalue()
