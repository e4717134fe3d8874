"""Where a resized image sits in its canvas, and the way back to the original size.

The canvas is the same for all images of a set, or each image has one of its own size. Images are resized with an
anti-aliased linear filter. Masks keep to their classes: shrinking keeps the area of each object
(`sfumato.data.shrinking`), enlarging repeats.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from sfumato.data.shrinking import shrink
from sfumato.errors import DataError

_Array = Shaped[np.ndarray, "h w *c"]
"""An image, or a mask of class indices."""

Resized = Shaped[np.ndarray, "height width *c"]
"""The same at another size."""

_SAME_SHAPE = 0.01
"""Share by which height / width of two sizes of one picture may differ."""


class Placement(NamedTuple):
    """Original size and place in the canvas.

    Attributes:
        size: height and width of the original.
        box: top, left, height and width of the resized image in the canvas; what lies outside the canvas is cut off.
        canvas: height and width of the canvas.
    """

    size: tuple[int, int]
    box: tuple[int, int, int, int]
    canvas: tuple[int, int]

    @property
    def pixels_each(self) -> float:
        """How many pixels of the original one in the canvas is."""
        _, _, height, width = self.box
        return math.prod(self.size) / (height * width)


class Canvas(NamedTuple):
    """What networks see, and how images of any size get there.

    Attributes:
        size: height and width in pixels; None: every image has a canvas of its own size.
        keep_aspect: images fit in undistorted, with a dark margin.
        crop: images fill it undistorted, and what juts out on two sides is cut off.
        spacing: millimetres per pixel; images are brought to it, then padded or cut around their centre to the size.
    """

    size: tuple[int, int] | None
    keep_aspect: bool = False
    crop: bool = False
    spacing: float | None = None

    def place(self, original: tuple[int, int], spacing: tuple[float, float] | None = None) -> Placement:
        """Where an image of the `original` size (height, width) goes.

        Args:
            original: in pixels.
            spacing: its millimetres between rows and columns; needed where the canvas has a spacing.
        """
        height, width = self._resized(original, spacing)
        down, across = self.size or (height, width)
        return Placement(original, ((down - height) // 2, (across - width) // 2, height, width), (down, across))

    def _resized(self, original: tuple[int, int], spacing: tuple[float, float] | None) -> tuple[int, int]:
        """Height and width of the image before it is padded or cut."""
        if self.spacing is not None:
            assert spacing is not None, "the caller checks that the image has a spacing"
            scales = [step / self.spacing for step in spacing]
        elif self.size is None or not (self.keep_aspect or self.crop):
            return self.size or original
        else:
            fitting = [side / length for side, length in zip(self.size, original, strict=True)]
            scales = [max(fitting) if self.crop else min(fitting)] * 2
        height, width = (max(1, round(scale * length)) for scale, length in zip(scales, original, strict=True))
        return height, width


def size_within(shape: Sequence[float], side: int) -> tuple[int, int]:
    """The size at which images of a shape have at most this longer side; its sides are divisible by 4."""
    scale = min(1.0, side / max(shape))
    height, width = (max(8, math.ceil(length * scale / 4) * 4) for length in shape)
    return height, width


def size_words(size: tuple[int, int] | None) -> str:
    """In which size images are."""
    return "in their own sizes" if size is None else f"at {size[0]} x {size[1]} pixels"


class _Shared(NamedTuple):
    """The part of the resized image that the canvas shows, in the coordinates of both."""

    canvas: tuple[slice, slice]
    image: tuple[slice, slice]


def _shared(placement: Placement) -> _Shared:
    top, left, height, width = placement.box
    inside, shown = [], []
    for start, length, side in ((top, height, placement.canvas[0]), (left, width, placement.canvas[1])):
        first, last = max(0, start), min(side, start + length)
        inside.append(slice(first, last))
        shown.append(slice(first - start, last - start))
    return _Shared((inside[0], inside[1]), (shown[0], shown[1]))


def fit_canvas(array: _Array, placement: Placement, *, nearest: bool) -> Resized:
    """The array in the canvas, same dtype.

    Args:
        array: image of any dtype, or a mask of class indices (height x width).
        placement: where it goes; what it leaves of the canvas gets the lowest value (black, background).
        nearest: the values are classes.
    """
    _, _, height, width = placement.box
    resized = resize(array, (height, width), nearest=nearest)
    if placement.box == (0, 0, *placement.canvas):
        return resized
    shared = _shared(placement)
    fill = 0 if nearest or array.dtype.kind in "ub" else array.min()
    canvas = np.full((*placement.canvas, *array.shape[2:]), fill, array.dtype)
    canvas[shared.canvas] = resized[shared.image]
    return canvas


def restore(array: _Array, placement: Placement, *, nearest: bool) -> Resized:
    """The array back at the original size, same dtype.

    What lies beside the image in the canvas is cut off; what the canvas did not show is 0.
    """
    _, _, height, width = placement.box
    shared = _shared(placement)
    shown = array[shared.canvas]
    if shown.shape[:2] != (height, width):
        whole = np.zeros((height, width, *array.shape[2:]), array.dtype)
        whole[shared.image] = shown
        shown = whole
    return resize(shown, placement.size, nearest=nearest)


def is_of_one_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes are those of one picture at two scales: to a hundredth, or to one pixel of the smaller."""
    (height, width), (higher, wider) = sorted((size, other))
    off = min(abs(height - higher * width / wider), abs(width - wider * height / higher))
    return off <= 1 or abs(height * wider / (width * higher) - 1) <= _SAME_SHAPE


def resize(array: _Array, size: tuple[int, int], *, nearest: bool) -> Resized:
    """The array at another height and width, same dtype."""
    if array.shape[:2] == size:
        return array
    return _resize_classes(array, size) if nearest else _resize_values(array, size)


def _resize_values(array: _Array, size: tuple[int, int]) -> Resized:
    import torch
    from torch.nn import functional

    planes = torch.from_numpy(np.atleast_3d(array).astype(np.float32)).permute(2, 0, 1)[None]
    resized = functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    values = resized[0].permute(1, 2, 0).numpy().reshape(*size, *array.shape[2:])
    return (values if array.dtype.kind == "f" else np.rint(values)).astype(array.dtype)


def _resize_classes(array: _Array, size: tuple[int, int]) -> Resized:
    if size[0] < array.shape[0] or size[1] < array.shape[1]:
        return shrink(array, size)
    rows, columns = (_nearest(*sides) for sides in zip(array.shape[:2], size, strict=True))
    return np.asarray(array[rows[:, None], columns])


def _nearest(length: int, target: int) -> Int[np.ndarray, " target"]:
    """The pixel of a side in which the middle of each target pixel lies."""
    return (2 * np.arange(target) + 1) * length // (2 * target)


def no_spacing(what: str, wanted: float) -> DataError:
    """The error to raise for an image that cannot be brought to a spacing."""
    return DataError(
        f"{what} has no spacing (millimetres per pixel)",
        expected=f"a volume, since images are to be brought to {wanted:g} mm per pixel",
        remedy="leave out the spacing, or give NIfTI, DICOM, NRRD or MHA files",
        code="DATA-026",
    )
