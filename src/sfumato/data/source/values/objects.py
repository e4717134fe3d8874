"""Whether the values of masks number objects: nuclei of a picture, fractures of a scan, cells that a film follows.

1 to N in each mask, or many values   N differs (or is large, and values say nothing of place and size), each value
                                      is one connected area, most do not touch the next, as layers do, and none has
                                      a place and size of its own, as organs have
films                                 a cell keeps its number and its place within a film: places are compared
                                      between films, which are folders of masks
volumes                               the same of whole volumes, where each area is small
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import FILES, read_volume
from sfumato.data.mask import count_values, is_soft
from sfumato.errors import DataError

GAPS = 1.25
"""Numbers of objects reach so far at most, as a multiple of how many there are: some are lost when images are cut."""

_COUNTS, _LARGE = 3, 8
"""So many different counts of objects, or two of which one is larger than `_LARGE`, are no habit of classes."""

_MANY, _MOST = 20, 5000
"""So many values of a set that do not count from 1 in each mask, as where images were cut; so many no mask has."""

_WHITE = 255
"""The only value but 0 of most masks: then no more of them are read."""

ONE_AREA = 0.9
"""Share of the values that are one connected area each, where they number objects."""

_LEAST = 3
"""Masks of as many objects each that say that their values number these; values that come again in other volumes."""

LAYERS = 0.7
"""Share of the values that touch the next one, from which on they are layers, or classes within one another."""

OWN = 0.5
"""Share of the variance of a place or size that the value explains, from which on it is the value's own."""

NOTHING = 0.2
"""The same, up to which a value says nothing of it."""

_VOLUMES = 8
"""Volumes that are looked at."""

_SMALL = 0.02
"""Share of a volume that an object in it has at most."""

_Labels = Integer[np.ndarray, "..."]


class Area(NamedTuple):
    """What has one value in one mask: the value, in how many areas, and its place and size as shares of the mask.

    Attributes:
        value: as stored.
        pieces: in how many areas it is.
        measures: its middle along each axis, and the logarithm of its size.
    """

    value: int
    pieces: int
    measures: tuple[float, ...]


def highest_in_pictures(masks: Iterable[tuple[str, _Labels]]) -> int:
    """The highest value where the values of masks number objects; 0 where they do not.

    Args:
        masks: locators and values of some; no more are taken than are needed.
    """
    looked, touching = dict[str, list[Area]](), list[bool]()
    for locator, raw in masks:
        values = [value for value in np.unique(raw).tolist() if value]
        if values == [_WHITE] or len(values) > _MOST or min(values, default=1) < 0 or is_soft(count_values(raw)):
            return 0
        if values:
            looked[locator] = _areas(raw, values)
            touching += _touching(raw, values)
    areas = [area for of_mask in looked.values() for area in of_mask]
    counts = [len(of_mask) for of_mask in looked.values()]
    as_many = min(counts, default=0) > _LARGE and len(looked) >= _LEAST and _say_nothing(areas)
    if not (_differ(counts) or as_many):
        return 0
    count_on = all(_count_on([area.value for area in of_mask]) for of_mask in looked.values())
    if not count_on and len({area.value for area in areas}) < _MANY:
        return 0
    if not _are_apart(areas, touching) or (_have_places(areas) and _have_places_in_films(looked)):
        return 0
    return max(area.value for area in areas)


def is_stored_whole(file: str) -> bool:
    """Whether a file holds a volume of values, as no DICOM file does."""
    return file.lower().endswith(FILES)


def highest_in_volumes(files: Sequence[str]) -> int:
    """The highest value where the values of volumes count small objects; 0 where they do not.

    Args:
        files: of volumes, of which some are read.
    """
    volumes, touching = list[list[Area]](), list[bool]()
    for file in files[:: -(-len(files) // _VOLUMES)]:
        raw = _labels(file)
        if raw is None:
            return 0
        counts = np.bincount(raw.ravel())
        values = np.flatnonzero(counts)
        values = values[values > 0].tolist()
        if not values:
            continue
        if max(values) > _MOST or not _count_on(values) or counts[1:].max() > _SMALL * raw.size:
            return 0
        areas = _areas(raw, values)
        volumes.append(areas)
        touching += _touching(raw, values)
        if not _are_apart(areas, ()) and len(areas) > 1:
            return 0
    areas = [area for of_volume in volumes for area in of_volume]
    if not _differ([len(of_volume) for of_volume in volumes]) or not _are_apart(areas, touching):
        return 0
    if not _come_again(areas) or _have_places(areas):
        return 0
    return max(area.value for area in areas)


def _labels(file: str) -> Integer[np.ndarray, "x y z"] | None:
    """The values of a volume; None where they are no whole numbers from 0 on, or it cannot be read."""
    try:
        raw = np.asarray(read_volume(Path(file)).voxels)
    except DataError:
        return None
    if raw.ndim != 3 or not raw.size:
        return None
    whole = raw if raw.dtype.kind in "iu" else raw.round()
    if raw.dtype.kind not in "iuf" or whole.min() < 0 or whole.max() > _MOST or not np.array_equal(whole, raw):
        return None
    return whole.astype(np.int32)


def _differ(counts: Sequence[int]) -> bool:
    """Whether masks have different numbers of objects, as no habit of classes has."""
    return len(set(counts)) >= _COUNTS or (len(set(counts)) > 1 and max(counts) > _LARGE)


def _count_on(values: Sequence[int]) -> bool:
    """Whether values count from 1 on, with few gaps."""
    return min(values) >= 1 and max(values) <= max(len(values), int(GAPS * len(values)))


def _are_apart(areas: Sequence[Area], touching: Sequence[bool]) -> bool:
    """Whether most values are one area each, and do not touch the next."""
    one_each = bool(np.mean([area.pieces == 1 for area in areas]) >= ONE_AREA)
    return one_each and not (len(touching) > 0 and np.mean(touching) > LAYERS)


def _areas(raw: _Labels, values: Sequence[int]) -> list[Area]:
    from scipy import ndimage

    areas = list[Area]()
    boxes = ndimage.find_objects(np.searchsorted([0, *values], raw))  # numbers may be far larger than there are
    for value, box in zip(values, boxes, strict=True):
        shown = raw[box] == value
        middle = [
            (places.mean() + side.start) / length
            for places, side, length in zip(np.nonzero(shown), box, raw.shape, strict=True)
        ]
        pieces = int(ndimage.label(shown, np.ones((3,) * raw.ndim))[1])
        areas.append(Area(value, pieces, (*map(float, middle), float(np.log(shown.sum() / raw.size)))))
    return areas


def _touching(raw: _Labels, values: Sequence[int]) -> list[bool]:
    """Whether each value but the last touches the next one."""
    pairs = set[int]()
    for axis in range(raw.ndim):
        along = np.moveaxis(raw, axis, 0)
        lower, higher = np.minimum(along[1:], along[:-1]), np.maximum(along[1:], along[:-1])
        pairs |= set(np.unique(lower[higher == lower + 1]).tolist())
    return [value in pairs for value in values[:-1]]


def _have_places_in_films(looked: Mapping[str, list[Area]]) -> bool:
    """The same by one mask of each folder, since a cell keeps its place in a film; true where this shows nothing."""
    films = defaultdict[Path, list[list[Area]]](list)
    for locator, areas in looked.items():
        films[Locator.parse(locator).path.parent].append(areas)
    masks = (film[len(film) // 2] for film in films.values())
    one_of_each = [area for mask in masks for area in mask]
    return not _come_again(one_of_each) or _have_places(one_of_each)


def _come_again(areas: Sequence[Area]) -> bool:
    """Whether enough values are there in several masks to tell whether they have places."""
    return len(areas) - len({area.value for area in areas}) >= _LEAST


def _have_places(areas: Sequence[Area]) -> bool:
    """Whether two measures of place and size are those of the value, as an organ's are; numbers run down or by size."""
    return sum(share > OWN for share in explained_shares(areas)) >= 2


def _say_nothing(areas: Sequence[Area]) -> bool:
    """Whether values say nothing of place and size: where each mask has as many, only this tells objects."""
    return all(share <= NOTHING for share in explained_shares(areas))


def explained_shares(areas: Sequence[Area]) -> list[float]:
    """Share of the variance of each measure that the value explains."""
    measures, values = np.array([area.measures for area in areas]), np.array([area.value for area in areas])
    return [_explained(values, measures[:, column]) for column in range(measures.shape[1])]


def _explained(values: Integer[np.ndarray, " n"], measure: Float[np.ndarray, " n"]) -> float:
    """Share of the variance of a measure that is between values, put right for the number of values."""
    kinds = np.unique(values)
    within = sum(float(((measure[values == kind] - measure[values == kind].mean()) ** 2).sum()) for kind in kinds)
    total, free = float(((measure - measure.mean()) ** 2).sum()), len(values) - len(kinds)
    return 1 - (within / free) / (total / (len(values) - 1)) if free > 0 and total > 0 else 0.0
