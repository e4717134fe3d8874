"""Large images a few rows at a time, volumes a few planes: what is made of them on the way stays small."""

import math
from collections.abc import Sequence

PIXELS_TOGETHER = 2**20
"""Pixels of an image of which everything is said at once."""


def slabs(size: Sequence[int], *, times: int = 1) -> list[slice]:
    """The first axis of an array with these sides in parts of about `PIXELS_TOGETHER` pixels, each a row at least.

    Args:
        size: the sides, in pixels.
        times: so many times as large a part, where neighbours beyond its ends are looked at too.
    """
    rows = max(1, times * PIXELS_TOGETHER // max(1, math.prod(size[1:])))
    return [slice(first, first + rows) for first in range(0, size[0], rows)]
