"""What was drawn on an image, whatever the tool, and the mask that it makes.

Tools count from the corner of the first pixel, so its centre is (0.5, 0.5). Which pixels an outline holds:
`sfumato.data.formats.outlines`. Where objects overlap, the smaller one is on top.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from sfumato.data.formats.outlines import filled
from sfumato.data.formats.pillow import MAX_PIXELS
from sfumato.errors import DataError, listed

CORNER = 0.5


class Runs(NamedTuple):
    """A mask as lengths of runs, the first of pixels outside, in a box of an image.

    Attributes:
        counts: the lengths.
        box: left, top, width and height.
        by_columns: whether the runs go down the columns (COCO) and not along the rows (CVAT).
    """

    counts: tuple[int, ...]
    box: tuple[int, int, int, int]
    by_columns: bool


class Shape(NamedTuple):
    """An object: its class, and its outlines (an even number of them is outside) or its runs."""

    label: str
    rings: tuple[Float[np.ndarray, "_ 2"], ...] = ()
    runs: Runs | None = None


class Annotation(NamedTuple):
    """What was drawn on an image.

    Attributes:
        names: what the image may be called, the surest first.
        size: its height and width, where the file says it.
        shapes: the objects.
    """

    names: tuple[str, ...]
    size: tuple[int, int] | None
    shapes: tuple[Shape, ...]

    @property
    def labels(self) -> set[str]:
        """The classes of its objects."""
        return {shape.label for shape in self.shapes}


class Annotations(NamedTuple):
    """A file of a tool: what was drawn on each image, and its classes in their order; value n is the n-th."""

    drawn: tuple[Annotation, ...]
    labels: tuple[str, ...]


def annotations(drawn: Sequence[Annotation], labels: Sequence[str] = ()) -> Annotations:
    """What a file holds, whose classes are those that it lists, or those that were drawn, by name."""
    found = set[str]().union(*(one.labels for one in drawn))
    return Annotations(tuple(drawn), (*labels, *sorted(found - set(labels))))


def ring(points: Any) -> Float[np.ndarray, "_ 2"]:
    """An outline from pairs of numbers, counted from the centre of the first pixel.

    Raises:
        ValueError: they are no finite pairs.
    """
    corners = np.asarray(points, np.float64).reshape(-1, 2) - CORNER
    if not np.isfinite(corners).all():
        raise ValueError("outlines with numbers that are not finite")
    return corners


def painted(drawn: Annotation, size: tuple[int, int], values: Mapping[str, int]) -> Integer[np.ndarray, "h w"]:
    """The mask of an image: the value of each object's class; classes without a value are left out."""
    mask = np.zeros(size, np.uint8 if max(values.values(), default=0) < 256 else np.uint16)
    areas = [(values[shape.label], _area(shape, size)) for shape in drawn.shapes if values.get(shape.label)]
    for value, area in sorted(areas, key=lambda one: -int(one[1].sum())):
        mask[area] = value
    return mask


def _area(shape: Shape, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    if shape.runs is None:
        return filled(shape.rings, *size)
    left, top, width, height = shape.runs.box
    area = np.zeros(size, bool)
    inside = _unrolled(shape.runs)[: max(0, size[0] - top), : max(0, size[1] - left)]
    area[top : top + height, left : left + width] = inside
    return area


def _unrolled(runs: Runs) -> Bool[np.ndarray, "h w"]:
    _, _, width, height = runs.box
    pixels = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
    return pixels.reshape(width, height).T if runs.by_columns else pixels.reshape(height, width)


def checked(runs: Runs) -> Runs:
    """Runs that fill their box.

    Raises:
        ValueError: they do not.
    """
    left, top, width, height = runs.box
    fills = sum(runs.counts) == width * height <= MAX_PIXELS
    if min(runs.counts, default=0) < 0 or min(left, top, width, height) < 0 or not fills:
        raise ValueError("runs that do not fill their image")
    return runs


def refuse_others(path: Path, others: Sequence[str]) -> None:
    """Refuse objects that are no outlines: whether they are to be filled, nobody can know.

    Args:
        path: the file.
        others: what each of them is, such as "box".

    Raises:
        DataError: there are some.
    """
    if others:
        kinds = ", ".join(f"{kind} ({others.count(kind)})" for kind in dict.fromkeys(others))
        raise DataError(
            f"{path}: contours found, not read: objects that are no outlines: {kinds}",
            expected="polygons or masks for all objects",
            remedy="draw them as polygons, take them out of the file, or export masks as pictures",
            code="DATA-069",
        )


def sized(drawn: Sequence[Annotation], path: Path) -> Iterator[Annotation]:
    """The same, refused where an image is larger than any."""
    huge = [one.names[0] for one in drawn if one.size and not 0 < one.size[0] * one.size[1] <= MAX_PIXELS]
    if huge:
        raise DataError(
            f"{path}: sizes that no image has:\n{listed(huge)}", expected="height and width", code="DATA-009"
        )
    yield from drawn
