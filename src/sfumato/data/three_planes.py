"""A volume as one picture: its planes through a place in three directions, side by side, in millimetres alike."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, Shaped

from sfumato.data.formats.volume import Axis
from sfumato.data.mask import IGNORED
from sfumato.data.placement import Spacing, resize

GAP = 2
"""Dark pixels between two planes."""

_Volume = Shaped[np.ndarray, "planes h w *c"]
_Plane = Shaped[np.ndarray, "..."]
ThreePlanes = Shaped[np.ndarray, "height width *c"]
"""Three planes side by side."""


def fullest(masks: Sequence[Integer[np.ndarray, "planes h w"]]) -> tuple[int, ...]:
    """On each axis the plane with the most foreground, by the first of the masks that has any; else the middle."""
    for mask in masks:
        shown = (mask > 0) & (mask != IGNORED)
        if shown.any():
            others = (tuple(other for other in range(3) if other != axis) for axis in range(3))
            return tuple(int(shown.sum(other).argmax()) for other in others)
    return tuple(side // 2 for side in masks[0].shape)


def three_planes(
    volume: _Volume, at: Sequence[int], *, spacing: Spacing | None, axis: Axis | None, nearest: bool
) -> ThreePlanes:
    """The planes of a volume that meet at a voxel; its own direction first.

    Args:
        volume: (planes, h, w), or with channels.
        at: where, on each axis.
        spacing: millimetres between planes, rows and columns; None: the same.
        axis: along which the planes lie; where they run to the head, the head is at the top of the other two.
        nearest: the values are classes.
    """
    through, down, across = spacing or (1.0, 1.0, 1.0)
    first, second, third = at
    upright = volume[::-1] if axis in ("axial", None) else volume
    planes = (
        (volume[first], (down, across)),
        (upright[:, second], (through, across)),
        (upright[:, :, third], (through, down)),
    )
    finest = min(through, down, across)
    drawn = [_enlarged(plane, [step / finest for step in steps], nearest=nearest) for plane, steps in planes]
    height = max(len(plane) for plane in drawn)
    width = sum(plane.shape[1] for plane in drawn) + GAP * (len(drawn) - 1)
    picture, left = np.zeros((height, width, *volume.shape[3:]), volume.dtype), 0
    for plane in drawn:
        picture[: len(plane), left : left + plane.shape[1]] = plane
        left += plane.shape[1] + GAP
    return picture


def _enlarged(plane: _Plane, scales: Sequence[float], *, nearest: bool) -> _Plane:
    size = tuple(max(1, round(side * scale)) for side, scale in zip(plane.shape, scales, strict=False))
    return resize(np.ascontiguousarray(plane), size, nearest=nearest)
