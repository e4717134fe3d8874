"""Masks made smaller without a bias: each class, and each object, keeps its area, up to the rounding to whole pixels.

To give each pixel the class that covers most of it makes small objects smaller, since all that is convex is a minority
in the pixels of its border: discs of radius 2 keep half of their area at a quarter of the size, and most are gone. Here
the area decides how many pixels an object gets, and its shares of the pixels which these are. Of all masks with these
areas it is one with the largest overlap.

A rest of less than a pixel is rounded up as often as it is large (systematic sampling, Cochran, Sampling Techniques,
1977, chapter 8), so that nothing is gained or lost on average over many masks; the mask itself decides, so the same
mask is always made smaller in the same way. Objects that would get no pixel are given one of a larger object of their
class.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer, Shaped

MOST_OBJECTS = 2000
"""With more, a class is a texture, and counts as one object."""

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it are spread evenly over the fractions of one: rests of classes are rounded independently."""

_Classes = Shaped[np.ndarray, "h w"]
"""A mask of class indices, or of any other few numbers; the lowest is the background."""

Smaller = Shaped[np.ndarray, "height width"]
"""The same at another size."""


class _Object(NamedTuple):
    """An object of a class, and what it covers of the small mask.

    Attributes:
        value: its class.
        corner: row and column of its box in the small mask.
        cover: shares of the pixels of this box that it covers, in [0, 1].
    """

    value: int
    corner: tuple[int, int]
    cover: Float[np.ndarray, "rows columns"]

    @property
    def area(self) -> float:
        """In pixels of the small mask."""
        return float(self.cover.sum())


def shrink(mask: _Classes, size: tuple[int, int]) -> Smaller:
    """The mask at a smaller height and width (one of both may be larger), same dtype."""
    values = np.unique(mask)
    start = zlib.crc32(np.ascontiguousarray(mask).data) / 2**32
    objects, pixels = list[_Object](), list[int]()
    for order, value in enumerate(values[1:].tolist()):
        found = list(_objects(mask == value, value, size))
        objects += found
        pixels += _whole(np.array([each.area for each in found]), (start + order * GOLDEN) % 1).tolist()
    small = np.full(size, values[0])
    _fill(small, objects, np.array(pixels, int))
    return small


def _objects(shown: Shaped[np.ndarray, "h w"], value: int, size: tuple[int, int]) -> Iterator[_Object]:
    """The connected parts of a class (pixels that touch at a corner are connected), in the order of their rows."""
    from scipy import ndimage

    labels, count = ndimage.label(shown, structure=np.ones((3, 3)))
    if count > MOST_OBJECTS:
        labels, count = shown.astype(np.uint8), 1
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        top, squeezed = _squeeze(labels[rows, columns] == number, rows.start, shown.shape[0], size[0])
        left, cover = _squeeze(squeezed.T, columns.start, shown.shape[1], size[1])
        yield _Object(value, (top, left), cover.T)


def _squeeze(
    part: Shaped[np.ndarray, "rows columns"], start: int, length: int, target: int
) -> tuple[int, Float[np.ndarray, "squeezed columns"]]:
    """The means of the rows of a part that fall into each row of the small mask, and the first of these rows.

    Args:
        part: rows of the mask from `start`; the other rows are zero.
        start: its first row in the mask.
        length: rows of the mask.
        target: rows of the small mask.
    """
    first, last = start * target // length, -(-(start + len(part)) * target // length)
    edges = np.clip(np.arange(first, last + 1) * length / target - start, 0, len(part))
    sums = np.zeros((len(part) + 2, part.shape[1]))
    np.cumsum(part, axis=0, out=sums[1:-1])
    sums[-1] = sums[-2]
    whole = edges.astype(int)
    at = sums[whole] + (edges - whole)[:, None] * (sums[whole + 1] - sums[whole])
    return first, np.diff(at, axis=0) * (target / length)


def _whole(areas: Float[np.ndarray, " objects"], start: float) -> Integer[np.ndarray, " objects"]:
    """Whole pixels for the objects of a class, as many as their areas sum to; `start` in [0, 1) decides the rests."""
    pixels = np.diff(np.floor(np.cumsum(areas) + start), prepend=np.floor(start)).astype(int)
    for lost in sorted(np.flatnonzero(pixels == 0), key=lambda each: -areas[each]):
        largest = int(pixels.argmax())
        if pixels[largest] < 2:
            break
        pixels[largest] -= 1
        pixels[lost] = 1
    return pixels


def _fill(small: Smaller, objects: list[_Object], left: Integer[np.ndarray, " objects"]) -> None:
    """Give each object so many pixels, those of which it covers most; ties go where its surroundings are covered."""
    candidates = [_candidates(number, each, small.shape[1]) for number, each in enumerate(objects) if left[number]]
    if not candidates:
        return
    number, place, cover, surroundings = (np.concatenate(column) for column in zip(*candidates, strict=True))
    spread = place * GOLDEN % 1
    order = np.lexsort((spread, -surroundings, -cover))
    flat, free, remaining = small.reshape(-1), np.ones(small.size, bool), left.tolist()
    for each, pixel in zip(number[order].tolist(), place[order].tolist(), strict=True):
        if remaining[each] and free[pixel]:
            flat[pixel], free[pixel] = objects[each].value, False
            remaining[each] -= 1


def _candidates(number: int, found: _Object, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The object's number, and of each pixel that it covers in part: place, share, share of the surroundings."""
    from scipy import ndimage

    rows, columns = np.nonzero(found.cover)
    surroundings = ndimage.uniform_filter(found.cover, 3, mode="constant")[rows, columns]
    place = (rows + found.corner[0]) * width + columns + found.corner[1]
    # rounded: shares that are equal must not differ by the order of a sum
    return np.full(len(place), number), place, found.cover[rows, columns].round(9), surroundings.round(9)
