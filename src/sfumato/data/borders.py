"""White lines between what is drawn: pixels of 255 that are no class, but the border of objects, which counts nowhere.

0, 5, 15, 255    PASCAL VOC: 255 around each object
50, 11, 21, 255  classes of any numbers, the lines between them white
"""

import numpy as np
from jaxtyping import Integer

WHITE = 255

_FAR = 100
"""Classes are below; white is not the next of them."""

_REACH = 2
"""Pixels from its edge, beyond which a line has none."""

_INSIDE = 0.05
"""Share of a line's pixels beyond them at most."""


def has_white_border(raw: Integer[np.ndarray, "..."]) -> bool:
    """Whether white is a line between the values of a mask, all of which are far from it."""
    values = set(np.unique(raw).tolist())
    others = values - {WHITE}
    if WHITE not in values or len(others) < 2 or max(others) >= _FAR or min(others) < 0:
        return False
    from scipy import ndimage

    white = raw == WHITE
    inside = ndimage.binary_erosion(white, iterations=_REACH, border_value=1)
    return bool(inside.sum() <= _INSIDE * white.sum())
