"""Where a resized image sits in its canvas, and the way back to the original size.

The canvas is the same for all images of a set, or each image has one of its own size. Images are resized with an
anti-aliased linear filter. Masks keep to their classes: shrinking keeps the area of each object
(`sfumato.data.shrinking`), enlarging repeats. Volumes (planes first) are resized in their planes, and through them with
the same filter: of a mask each class as its share of a voxel, of which the largest one stays.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from sfumato.data.shrinking import shrink
from sfumato.errors import DataError

_Array = Shaped[np.ndarray, "..."]
"""An image or volume (*space, *c), or a mask of class indices."""

Resized = Shaped[np.ndarray, "..."]
"""The same at another size."""

Spacing = tuple[float, ...]
"""Millimetres between rows and columns; of volumes between planes before them."""

_SAME_SHAPE = 0.01
"""Share by which height / width of two sizes of one picture may differ."""


class Placement(NamedTuple):
    """Original size and place in the canvas.

    Attributes:
        size: height and width of the original; of volumes the number of planes before them.
        box: where the resized image begins in the canvas on each axis, then its sides (top, left, height, width); what
            lies outside the canvas is cut off.
        canvas: the sides of the canvas.
    """

    size: tuple[int, ...]
    box: tuple[int, ...]
    canvas: tuple[int, ...]

    @property
    def resized(self) -> tuple[int, ...]:
        """The sides of the resized image."""
        return self.box[len(self.size) :]

    @property
    def keeps_all(self) -> bool:
        """Whether the image in the canvas is the original, and all of it."""
        return self.box == (*[0] * len(self.size), *self.size) and self.canvas == self.size

    @property
    def pixels_each(self) -> float:
        """How many pixels of the original one in the canvas is."""
        return math.prod(self.size) / math.prod(self.resized)


class Canvas(NamedTuple):
    """What networks see, and how images of any size get there.

    Attributes:
        size: height and width in pixels; None: every image has a canvas of its own size.
        keep_aspect: images fit in undistorted, with a dark margin.
        crop: images fill it undistorted, and what juts out on two sides is cut off.
        spacing: millimetres per pixel, of volumes along each axis; images are brought to it, then padded or cut around
            their centre to the size.
    """

    size: tuple[int, ...] | None
    keep_aspect: bool = False
    crop: bool = False
    spacing: float | Spacing | None = None

    def place(self, original: tuple[int, ...], spacing: Spacing | None = None) -> Placement:
        """Where an image or volume of the `original` size goes.

        Args:
            original: (height, width) in pixels, or (planes, height, width).
            spacing: its millimetres along these axes; needed where the canvas has a spacing.
        """
        resized = self._resized(original, spacing)
        canvas = self.size or resized
        starts = ((whole - side) // 2 for whole, side in zip(canvas, resized, strict=True))
        return Placement(original, (*starts, *resized), canvas)

    def _resized(self, original: tuple[int, ...], spacing: Spacing | None) -> tuple[int, ...]:
        """The sides of the image before it is padded or cut."""
        if self.spacing is not None:
            assert spacing is not None, "the caller checks that the image has a spacing"
            wanted = self.spacing if isinstance(self.spacing, tuple) else (self.spacing,) * len(spacing)
            scales = [step / target for step, target in zip(spacing, wanted, strict=True)]
        elif self.size is None or not (self.keep_aspect or self.crop):
            return self.size or original
        else:
            fitting = [side / length for side, length in zip(self.size, original, strict=True)]
            scales = [max(fitting) if self.crop else min(fitting)] * len(original)
        return tuple(max(1, round(scale * length)) for scale, length in zip(scales, original, strict=True))


def size_within(shape: Sequence[float], side: int) -> tuple[int, int]:
    """The size at which images of a shape have at most this longer side; its sides are divisible by 4."""
    scale = min(1.0, side / max(shape))
    height, width = (max(8, math.ceil(length * scale / 4) * 4) for length in shape)
    return height, width


def size_words(size: tuple[int, ...] | None) -> str:
    """In which size images are."""
    return "in their own sizes" if size is None else f"at {' x '.join(map(str, size))} pixels"


def spacing_words(spacing: float | Spacing) -> str:
    """Millimetres per pixel, of volumes along each axis: "1.5 mm", "3 x 0.8 x 0.8 mm"."""
    steps = spacing if isinstance(spacing, tuple) else (spacing,)
    return f"{' x '.join(f'{step:g}' for step in steps)} mm"


class _Shared(NamedTuple):
    """The part of the resized image that the canvas shows, in the coordinates of both."""

    canvas: tuple[slice, ...]
    image: tuple[slice, ...]


def _shared(placement: Placement) -> _Shared:
    inside, shown = [], []
    for start, length, side in zip(placement.box, placement.resized, placement.canvas, strict=False):
        first, last = max(0, start), min(side, start + length)
        inside.append(slice(first, last))
        shown.append(slice(first - start, last - start))
    return _Shared(tuple(inside), tuple(shown))


def fit_canvas(array: _Array, placement: Placement, *, nearest: bool) -> Resized:
    """The array in the canvas, same dtype.

    Args:
        array: image or volume of any dtype (*space, *c), or a mask of class indices (*space).
        placement: where it goes; what it leaves of the canvas gets the lowest value (black, background).
        nearest: the values are classes.
    """
    resized = resize(array, placement.resized, nearest=nearest)
    if placement.resized == placement.canvas:
        return resized
    shared = _shared(placement)
    fill = 0 if nearest or array.dtype.kind in "ub" else array.min()
    canvas = np.full((*placement.canvas, *array.shape[len(placement.size) :]), fill, array.dtype)
    canvas[shared.canvas] = resized[shared.image]
    return canvas


def restore(array: _Array, placement: Placement, *, nearest: bool) -> Resized:
    """The array back at the original size, same dtype.

    What lies beside the image in the canvas is cut off; what the canvas did not show is 0.
    """
    shared, axes = _shared(placement), len(placement.size)
    shown = array[shared.canvas]
    if shown.shape[:axes] != placement.resized:
        whole = np.zeros((*placement.resized, *array.shape[axes:]), array.dtype)
        whole[shared.image] = shown
        shown = whole
    return resize(shown, placement.size, nearest=nearest)


def is_of_one_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes are those of one picture at two scales: to a hundredth, or to one pixel of the smaller."""
    (height, width), (higher, wider) = sorted((size, other))
    off = min(abs(height - higher * width / wider), abs(width - wider * height / higher))
    return off <= 1 or abs(height * wider / (width * higher) - 1) <= _SAME_SHAPE


def resize(array: _Array, size: tuple[int, ...], *, nearest: bool) -> Resized:
    """The array (*space, *c) with other sides, same dtype: of a mask of class indices, or of values."""
    if array.shape[: len(size)] == size:
        return array
    if len(size) == 3:
        return _resize_volume(array, size, nearest=nearest)
    return _resize_classes(array, size) if nearest else _interpolated(array, size)


def _resize_volume(volume: _Array, size: tuple[int, ...], *, nearest: bool) -> Resized:
    """Plane by plane, then through the planes."""
    planes = volume
    if volume.shape[1:3] != size[1:]:
        planes = np.stack([resize(plane, size[1:], nearest=nearest) for plane in volume])
    if len(planes) == size[0]:
        return planes
    return _likeliest(planes, size[0]) if nearest else _through(planes, size[0])


def _through(planes: _Array, count: int) -> Resized:
    """Another number of planes between the same ends."""
    return _interpolated(planes.reshape(len(planes), -1), (count, planes[0].size)).reshape(count, *planes.shape[1:])


def _likeliest(planes: _Array, count: int) -> Resized:
    """The class with the largest share of each voxel; of equal ones the first."""
    classes = np.unique(planes)
    best, most = np.full((count, *planes.shape[1:]), classes[0]), np.zeros((count, *planes.shape[1:]), np.float32)
    for index in classes:
        share = _through((planes == index).astype(np.float32), count)
        best[share > most] = index
        np.maximum(most, share, out=most)
    return best.astype(planes.dtype)


def _interpolated(array: _Array, size: tuple[int, ...]) -> Resized:
    """Linear with anti-aliasing along the first two axes, in float32; same dtype."""
    import torch
    from torch.nn import functional

    planes = torch.from_numpy(np.atleast_3d(array).astype(np.float32)).permute(2, 0, 1)[None]
    resized = functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    values = resized[0].permute(1, 2, 0).numpy().reshape(*size, *array.shape[2:])
    return (values if array.dtype.kind == "f" else np.rint(values)).astype(array.dtype)


def _resize_classes(array: _Array, size: tuple[int, ...]) -> Resized:
    if size[0] < array.shape[0] or size[1] < array.shape[1]:
        return shrink(array, (size[0], size[1]))
    rows, columns = (_nearest(*sides) for sides in zip(array.shape[:2], size, strict=True))
    return np.asarray(array[rows[:, None], columns])


def _nearest(length: int, target: int) -> Int[np.ndarray, " target"]:
    """The pixel of a side in which the middle of each target pixel lies."""
    return (2 * np.arange(target) + 1) * length // (2 * target)


def no_spacing(what: str, wanted: float | Spacing | None) -> DataError:
    """The error to raise for an image that cannot be brought to a spacing; None: to that of others."""
    target = "one spacing" if wanted is None else f"{spacing_words(wanted)} per pixel"
    return DataError(
        f"{what} has no spacing (millimetres per pixel)",
        expected=f"a volume, since images are to be brought to {target}",
        remedy="leave out the spacing, or give NIfTI, DICOM, NRRD or MHA files",
        code="DATA-026",
    )
