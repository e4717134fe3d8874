"""Arrays of different sizes, one behind the other in one flat file: each is read without touching the others."""

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np


class Ragged:
    """A sequence of arrays that share a flat one.

    Args:
        flat: all their numbers, one array behind the other; may be mapped from disk.
        shapes: of the arrays.

    Raises:
        ValueError: the shapes have another number of entries than there are.
    """

    def __init__(self, flat: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> None:
        self._flat, self._shapes = flat, tuple(shapes)
        self._ends = list(accumulate(map(math.prod, self._shapes)))
        if flat.shape != (total := self._ends[-1] if self._ends else 0,):
            raise ValueError(f"{total} numbers in one row, not {flat.shape}")

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers."""
        return self._flat.dtype

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, row: int) -> np.ndarray:
        """One of the arrays: a view, not a copy."""
        shape, end = self._shapes[row], self._ends[row]
        view: np.ndarray = self._flat[end - math.prod(shape) : end].reshape(shape)
        return view


StoredArrays = np.ndarray | Ragged
"""Arrays of one shape, the first axis counting them, or of different ones."""


def stacked(arrays: StoredArrays, rows: Sequence[int]) -> np.ndarray:
    """A copy of some of the arrays, one behind the other along a new first axis.

    Raises:
        ValueError: they have different shapes.
    """
    if isinstance(arrays, Ragged):
        return np.stack([arrays[row] for row in rows])
    return np.asarray(arrays[list(rows)])


def cut_out(array: np.ndarray, corner: Sequence[int], size: Sequence[int], *, outside: int | None = None) -> np.ndarray:
    """A box out of an array: along its first axes as many as `corner` has, whole along the others.

    Args:
        array: e.g. (h, w, channels).
        corner: where the box begins on each axis; below 0 it begins outside.
        size: sides of the box.
        outside: the value of what lies outside; None: the array's reflection, as often as it takes (the edge itself is
            repeated: 1 0 | 0 1 2).
    """
    starts_ends = list(zip(corner, (start + side for start, side in zip(corner, size, strict=True)), strict=True))
    if all(start >= 0 and end <= length for (start, end), length in zip(starts_ends, array.shape, strict=False)):
        return array[tuple(slice(*ends) for ends in starts_ends)]
    if outside is None:
        reflected = [_reflected(*ends, length) for ends, length in zip(starts_ends, array.shape, strict=False)]
        return np.asarray(array[np.ix_(*reflected)])
    box = np.full((*size, *array.shape[len(size) :]), outside, array.dtype)
    shared = [(max(start, 0), min(end, side)) for (start, end), side in zip(starts_ends, array.shape, strict=False)]
    if all(first < last for first, last in shared):
        target = tuple(slice(a - start, b - start) for (a, b), start in zip(shared, corner, strict=True))
        box[target] = array[tuple(slice(*ends) for ends in shared)]
    return box


def _reflected(start: int, end: int, length: int) -> np.ndarray:
    """The entries of an axis that are read for these, by reflection at its ends."""
    folded = np.arange(start, end) % (2 * length)
    return np.asarray(np.minimum(folded, 2 * length - 1 - folded))
