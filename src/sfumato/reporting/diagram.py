"""Lines over one another: what was measured, and dashed what to compare it with."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sfumato.escape import visible
from sfumato.reporting.figures import LINES, encoded, legend, style


class Course(NamedTuple):
    """A line of a diagram.

    Attributes:
        name: in the legend.
        across: its places on the horizontal axis.
        up: its values.
        dashed: whether it is what to compare with, and no measurement.
    """

    name: str
    across: Float[np.ndarray, " n"]
    up: Float[np.ndarray, " n"]
    dashed: bool = False


def diagram(title: str, courses: Sequence[Course], *, across: str, up: str, ink: str) -> bytes:
    """Lines over one another, as a PNG without background, for a page on which `ink` can be read."""
    figure = Figure(figsize=(5.4, 3.3))
    axes = figure.add_axes((0.12, 0.14, 0.85, 0.76))
    for course, colour in zip(courses, LINES * 8, strict=False):
        form = {"color": ink, "linestyle": "--", "linewidth": 1.0} if course.dashed else {"color": colour}
        marker = "o" if len(course.across) <= 20 and not course.dashed else ""
        axes.plot(course.across, course.up, label=visible(course.name), marker=marker, markersize=3.5, **form)
    style(axes, title=title, ink=ink)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel(across, color=ink, fontsize=9)
    axes.set_ylabel(up, color=ink, fontsize=9)
    legend(axes, ink=ink)
    return encoded(figure, transparent=True)
