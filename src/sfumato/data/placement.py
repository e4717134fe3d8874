"""Where a resized image sits in the model's canvas, and the way back to the original size.

Images are resized with an anti-aliased linear filter. Masks keep to their classes: shrinking gives each pixel the class
that covers most of its area, enlarging repeats.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped
from torch.nn import functional

Array = Shaped[np.ndarray, "h w *c"]
"""An image, or a mask of class indices."""

Resized = Shaped[np.ndarray, "height width *c"]
"""The same at another size."""


class Placement(NamedTuple):
    """Original size and place in the canvas.

    Attributes:
        size: height and width of the original.
        box: top, left, height and width of the resized image in the canvas.
    """

    size: tuple[int, int]
    box: tuple[int, int, int, int]


def place(original: tuple[int, int], canvas: tuple[int, int], *, keep_aspect: bool) -> Placement:
    """Where an image of the `original` size (height, width) goes: the whole canvas, or its centre in its own shape."""
    if not keep_aspect:
        return Placement(original, (0, 0, *canvas))
    scale = min(canvas[0] / original[0], canvas[1] / original[1])
    height, width = (max(1, min(side, round(scale * length))) for side, length in zip(canvas, original, strict=True))
    return Placement(original, ((canvas[0] - height) // 2, (canvas[1] - width) // 2, height, width))


def fit(array: Array, size: tuple[int, int], *, keep_aspect: bool, nearest: bool) -> tuple[Resized, Placement]:
    """The array at the model's size.

    Args:
        array: image of any dtype, or a mask of class indices (height x width).
        size: height and width of the canvas.
        keep_aspect: do not distort; what is left of the canvas is filled with the lowest value (black, background).
        nearest: the values are classes.

    Returns:
        The array in the canvas, same dtype, and where it sits.
    """
    placement = place((array.shape[0], array.shape[1]), size, keep_aspect=keep_aspect)
    top, left, height, width = placement.box
    resized = resize(array, (height, width), nearest=nearest)
    if (height, width) == size:
        return resized, placement
    fill = 0 if nearest or array.dtype.kind in "ub" else array.min()
    canvas = np.full((*size, *array.shape[2:]), fill, array.dtype)
    canvas[top : top + height, left : left + width] = resized
    return canvas, placement


def restore(array: Array, placement: Placement, *, nearest: bool) -> Resized:
    """The array back at the original size, same dtype; what lies beside the image in the canvas is cut off."""
    top, left, height, width = placement.box
    return resize(array[top : top + height, left : left + width], placement.size, nearest=nearest)


def resize(array: Array, size: tuple[int, int], *, nearest: bool) -> Resized:
    """The array at another height and width, same dtype."""
    if array.shape[:2] == size:
        return array
    return _resize_classes(array, size) if nearest else _resize_values(array, size)


def _resize_values(array: Array, size: tuple[int, int]) -> Resized:
    planes = torch.from_numpy(np.atleast_3d(array).astype(np.float32)).permute(2, 0, 1)[None]
    resized = functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    values = resized[0].permute(1, 2, 0).numpy().reshape(*size, *array.shape[2:])
    return (values if array.dtype.kind == "f" else np.rint(values)).astype(array.dtype)


def _resize_classes(array: Array, size: tuple[int, int]) -> Resized:
    classes, index = np.unique(array, return_inverse=True)
    planes = torch.from_numpy(index.reshape(array.shape)) == torch.arange(len(classes)).view(-1, 1, 1)
    shrinks = size[0] < array.shape[0] or size[1] < array.shape[1]
    cover = functional.interpolate(planes[None].float(), size, mode="area" if shrinks else "nearest-exact")
    return np.asarray(classes[cover[0].argmax(0).numpy()])
