"""Outlines as masks: which pixels lie inside of closed curves that are given by points.

A pixel counts where its centre lies inside an odd number of the rings (even-odd), so a ring within a ring is a hole,
and a narrow channel that is walked to and fro takes nothing away. What lies exactly on a left or upper edge is inside,
on a right or lower one outside: regions side by side share no pixel and leave none out.

`PIL.ImageDraw.polygon` also paints the pixels that an edge touches, half a pixel too much all around.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

Ring = Float[np.ndarray, "_ 2"]
"""Column and row of each corner, in pixels; (0, 0) is the centre of the first pixel. The last leads to the first."""


def filled(rings: Iterable[Ring], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """The pixels whose centres lie inside an odd number of rings."""
    crossings = np.zeros((height, width + 1), np.uint8)  # an overflow keeps what is odd
    for ring in rings:
        _add_crossings(crossings, ring)
    return np.asarray(np.cumsum(crossings, axis=1, dtype=np.uint8)[:, :width] % 2 == 1)


def _add_crossings(crossings: np.ndarray, ring: Ring) -> None:
    """Count the edges left of or at each pixel, at the first pixel that each edge has on its left."""
    height, width = crossings.shape[0], crossings.shape[1] - 1
    start, end = ring, np.roll(ring, -1, axis=0)
    down = (start[:, 1] <= end[:, 1])[:, None]
    top, bottom = np.where(down, start, end), np.where(down, end, start)
    first, behind = (np.clip(np.ceil(corner[:, 1]), 0, height).astype(int) for corner in (top, bottom))
    counts = behind - first
    edge = np.repeat(np.arange(len(ring)), counts)
    row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    (x0, y0), (x1, y1) = top[edge].T, bottom[edge].T
    column = np.clip(np.ceil(x0 + (row - y0) * ((x1 - x0) / (y1 - y0))), 0, width).astype(int)
    np.add.at(crossings, (row, column), 1)
