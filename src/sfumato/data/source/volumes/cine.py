"""Volumes over time with masks over time: image and mask have as many components, which are frames.

A heart is filmed, and a person draws on two of thirty frames. A frame on which nobody drew says nothing: it is left out
and counted, for an empty mask would teach that there is no heart.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.scan import read_volume
from sfumato.data.formats.volume import VolumeHeader
from sfumato.errors import DataError
from sfumato.wording import counted


class Frames(NamedTuple):
    """The frames of a volume over time that are read, and how many there are."""

    drawn: tuple[int, ...]
    total: int


def components(header: VolumeHeader) -> int:
    """How many values a voxel has; the red, green and blue of a colour are one."""
    return 1 if len(header.shape) < 4 or are_colours(header) else header.shape[3]


def are_colours(header: VolumeHeader) -> bool:
    """Whether the components of a volume are red, green and blue."""
    return header.shape[3:] == (3,) and (header.colours or header.dtype == np.uint8)


def are_frames(image: VolumeHeader, masks: Mapping[str, VolumeHeader]) -> bool:
    """Whether an image and its masks have as many components, and so a mask for each frame."""
    count = components(image)
    return count > 1 and bool(masks) and all(mask.shape[3:] == (count,) for mask in masks.values())


def frames_of(image: str, masks: Mapping[str, VolumeHeader], component: int | None) -> Frames:
    """The frames on which somebody drew, or the one that a person chose.

    Args:
        image: the locator of the volume, for errors.
        masks: its masks by their locators, with as many components each.
        component: the frame that a person chose.

    Raises:
        DataError: a mask cannot be read, or its components look like classes.
    """
    count = next(iter(masks.values())).shape[3]
    if component is not None:
        return Frames((component,), count)
    drawn = np.zeros(count, bool)
    for mask in masks:
        shows = np.asarray(read_volume(Path(mask)).voxels) != 0
        own = shows.any((0, 1, 2))
        if own.sum() > 1 and shows.sum(3, dtype=np.int32).max() == 1:
            raise _like_classes(image, mask, count)
        drawn |= own
    return Frames(tuple(map(int, np.flatnonzero(drawn))), count)


def _like_classes(image: str, mask: str, count: int) -> DataError:
    return DataError(
        f"{mask} has {count} components, as many as {image}, but no two of them show the same place: they may be "
        "classes, and no frames",
        expected="a mask with one value per voxel, or with a frame for each frame of its image",
        remedy="save the classes as numbers in one volume; if they are frames, choose one with --component",
        code="DATA-063",
    )


def cine_notes(found: Iterable[Frames]) -> list[str]:
    """What to know of the frames of several volumes."""
    each = list(found)
    drawn = sum(len(frames.drawn) for frames in each)
    empty = sum(frames.total - len(frames.drawn) for frames in each)
    if not each:
        return []
    left = f"; frames without labels, left out: {empty}" if empty else ""
    volumes = counted(len(each), "volume over time, read", "volumes over time, read")
    return [f"{volumes} frame by frame: {counted(drawn, 'frame')} with labels{left}"]
