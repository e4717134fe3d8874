"""Which values of a volume are the image: one, or several that are its channels.

    320 x 320 x 20 x 2, labels of 320 x 320 x 20     values of a voxel, a channel each     a.nii::axial/3/0, axial/3/1
    256 x 256 x 3 of 8 bits, labels of 256 x 256     red, green and blue as planes         a.mha::axial/0, 1, 2

Labels of one value tell channels from points in time, of which each would have its own, and so does a `dataset.json`
that names as many (the Medical Segmentation Decathlon). What is neither is refused, and `--component` says it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from sfumato.data.formats.grid import GRID_TOLERANCE, codes_of
from sfumato.data.formats.volume import Axis, VolumeHeader, count_planes, spacing
from sfumato.data.source.volumes.cine import are_colours, components
from sfumato.errors import DataError

ALL: Literal["all"] = "all"
"""All values of a voxel are channels."""

_PLANES: Literal["planes"] = "planes"
"""All planes of a volume are channels of one image."""

Component = int | Literal["all", "planes"]
"""Which of several values is the image, or what makes channels of them."""

_MOST = 8
"""Values of a voxel up to which labels of one value make channels of them; more may be points in time."""

_COLOURS = 3
"""Planes that are red, green and blue."""

AXES_OF_PLANES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")


def taken(
    locator: str, image: VolumeHeader, masks: Mapping[str, VolumeHeader], said: Component | None, named: int
) -> Sequence[int]:
    """The values of each voxel that are read, a channel each; nothing where there is one, or where all are a colour's.

    Args:
        locator: of the image, for errors.
        image: its header.
        masks: those of its masks.
        said: what a person said.
        named: how many channels a `dataset.json` names; 0 without one.

    Raises:
        DataError: there are several, and nobody knows what they are; or the one that was asked for is not there.
    """
    count, has_axis = components(image), len(image.shape) > 3
    if said in (ALL, _PLANES):
        return range(image.shape[3]) if has_axis and not are_colours(image) else ()
    if said is not None:
        if said >= (image.shape[3] if has_axis else 1):
            raise _unclear(locator, image, f"; number {said} was asked for, counted from 0")
        return (said,) if has_axis else ()
    if count == 1:
        return ()
    drawn_once = bool(masks) and all(len(mask.shape) == 3 for mask in masks.values())
    if count == named or (not named and drawn_once and count <= _MOST):
        return range(count)
    raise _unclear(locator, image, f"; dataset.json names {named}" if named else "")


def _unclear(locator: str, header: VolumeHeader, more: str) -> DataError:
    count = header.shape[3] if len(header.shape) > 3 else 1
    why = "".join(f"; {note}" for note in header.notes if "components" in note)
    return DataError(
        f"{locator} has {count} components (shape {' x '.join(map(str, header.shape))}){why}{more}",
        expected="a volume with one value per voxel, or labels on the same three axes beside it",
        remedy="choose one with --component, or take all as channels with --component all; or take the file out of the "
        "folder if it is no image (a warp field)",
        code="DATA-063",
    )


def channels_along(image: VolumeHeader, masks: Iterable[VolumeHeader], said: Component | None) -> Axis | None:
    """The axis along which the planes of a volume are channels of one image; None where they are planes.

    Args:
        image: its header.
        masks: those of its masks: where these have one plane, three of 8 bits are colours.
        said: what a person said.
    """
    if len(image.shape) > 3 or said not in (None, _PLANES):
        return None
    axis = min(AXES_OF_PLANES, key=lambda axis: count_planes(image, axis))
    count, drawn = count_planes(image, axis), list(masks)
    colours = count == _COLOURS and image.dtype == np.uint8 and bool(drawn)
    if (said is None and not colours) or count == 1:
        return None
    return axis if all(is_plane_of(mask, image, axis) for mask in drawn) else None


def is_plane_of(mask: VolumeHeader, image: VolumeHeader, axis: Axis) -> bool:
    """Whether a mask is a single plane as large as those of a volume along an axis, pixel by pixel."""
    sizes = [
        [1 if other == axis else count_planes(image, other) for other in AXES_OF_PLANES],
        [count_planes(mask, other) for other in AXES_OF_PLANES],
    ]
    steps = [spacing(header.affine, axis)[1:] for header in (image, mask)]
    return (
        len(mask.shape) == 3
        and sizes[0] == sizes[1]
        and codes_of(mask.affine) == codes_of(image.affine)
        and bool(np.allclose(steps[0], steps[1], rtol=GRID_TOLERANCE))
    )


def component_notes(values: Iterable[int], planes: int) -> list[str]:
    """What to know of volumes whose values, or planes, were taken for channels.

    Args:
        values: how many values each volume has that has several.
        planes: how many volumes are images in colours.
    """
    notes = [
        f"volumes of {count} values per voxel, whose labels have one, read as images of {count} channels: {number}; "
        "--component 0 takes the first alone"
        for count, number in sorted(Counter(values).items())
    ]
    if planes:
        notes.append(
            f"volumes of three planes with masks of one, read as images in colours, a plane each: {planes}; with masks "
            "for each plane, or without any, they are volumes"
        )
    return notes
