"""Volumes as cases of their own: planes that follow each other in a table, put together.

A table names planes, whatever is trained: `scan.nii.gz::axial/17` is read by everything that reads images. Where a
model sees whole volumes, the planes of each become one case of the name of the volume, and arrays get a first axis for
them.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from sfumato.data.facts import steps_of
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.volume import flat_axis, named_place, spacing
from sfumato.data.manifest import Case
from sfumato.data.placement import Canvas, Placement, Spacing, no_spacing, spacing_words
from sfumato.errors import DataError

LARGEST_STEP, SMALLEST_STEP = 100.0, 1e-3
"""Millimetres between voxels beyond which a header is wrong: no scanner works in them."""

MOST_VOXELS = 2**31
"""Of a volume at the spacing of a model; a whole body of 2 m at half a millimetre has 2**32."""

THICK = 3.0
"""An axis whose spacing is above so many times the finest is a thick one (Isensee et al. 2021, nnU-Net)."""

_OF_THICK = 10
"""Percentile of the spacings along a thick axis that is the target; of the others the median."""

LEAVE_OUT = "leave the images out"
"""What to do about images among volumes, where nothing else helps."""

FEWEST_PLANES = 16
"""Planes of the median volume from which volumes are looked at as such."""


def by_volume(cases: Iterable[Case], *, remedy: str = LEAVE_OUT) -> list[tuple[Case, ...]]:
    """The planes of each volume, in their order.

    Args:
        cases: planes.
        remedy: what to do about an image among them.

    Raises:
        DataError: an image is no plane of a volume.
    """
    runs = [tuple(run) for _, run in groupby(cases, key=lambda case: case.volume or case.id)]
    if flat := [planes[0] for planes in runs if planes[0].volume is None]:
        raise DataError(
            f"{len(flat)} of {len(runs)} cases are single images, such as {flat[0].image}",
            expected="volumes of several planes alone",
            remedy=remedy,
            code="DATA-029",
        )
    return runs


def with_neighbours(cases: Iterable[Case], count: int) -> list[Case]:
    """Planes of volumes with so many planes before and behind each as channels; an end of a volume is repeated.

    An image's own channels come first, then those of its neighbours from the first to the last.

    Raises:
        DataError: an image is no plane of a volume.
    """
    runs = by_volume(cases, remedy=f"{LEAVE_OUT}, or prepare and train without --neighbours")
    return [_beside(planes, place, count) for planes in runs for place in range(len(planes))]


def _beside(planes: Sequence[Case], place: int, count: int) -> Case:
    last = len(planes) - 1
    others = [planes[min(max(place + offset, 0), last)] for offset in range(-count, count + 1) if offset]
    channels = [file for other in others for file in (other.image, *other.channels)]
    return replace(planes[place], channels=(*planes[place].channels, *channels))


def as_volume(planes: Sequence[Case]) -> Case:
    """The case of a volume; its files are those of its first plane."""
    return replace(planes[0], id=planes[0].volume or planes[0].id)


def plane_spacing(locator: str) -> Spacing:
    """Millimetres between planes, rows and columns of the planes that a locator is one of.

    Raises:
        DataError: the header says what no scan has.
    """
    steps = steps_of(locator)
    if steps is None:
        raise no_spacing(locator, None)
    if not all(SMALLEST_STEP <= step <= LARGEST_STEP for step in steps):
        raise DataError(
            f"{Locator.parse(locator).path}: {spacing_words(steps)} between voxels",
            expected=f"{SMALLEST_STEP:g} to {LARGEST_STEP:g} mm",
            remedy="mend the spacing in the file's header, or prepare and train with --dimensions 2",
            code="DATA-026",
        )
    return steps


def placed_volume(canvas: Canvas, size: tuple[int, ...], locator: str) -> Placement:
    """Where a volume goes.

    Args:
        canvas: how volumes get to their size.
        size: its planes, height and width.
        locator: one of its planes.

    Raises:
        DataError: see `plane_spacing`; or it has more voxels there than anybody can use.
    """
    placement = canvas.place(size, None if canvas.spacing is None else plane_spacing(locator))
    if math.prod(placement.canvas) > MOST_VOXELS:
        raise DataError(
            f"{Locator.parse(locator).path}: {' x '.join(map(str, size))} voxels become "
            f"{' x '.join(map(str, placement.canvas))} at {spacing_words(canvas.spacing or 1.0)}",
            expected=f"at most {MOST_VOXELS:,} voxels",
            remedy="mend the spacing in the file's header, or prepare and train with a coarser --spacing",
            code="DATA-026",
        )
    return placement


def header_spacing(locator: str) -> Spacing:
    """The same from the header alone, unchecked."""
    target = Locator.parse(locator)
    header = read_header(target.path)
    place = named_place(target.member)
    return spacing(header.affine, place.axis if place else flat_axis(header.shape, header.affine))


def has_geometry(case: Case) -> bool:
    """Whether an image is a plane of a file that says where its voxels lie."""
    return case.volume is not None and is_volume(Locator.parse(case.image).path)


def target_spacing(spacings: Sequence[Spacing]) -> Spacing:
    """What volumes are brought to: the median along each axis; along a thick one the tenth percentile of them.

    Source: Isensee et al. 2021 (nnU-Net), supplementary note 2.

    Args:
        spacings: of the training volumes, millimetres along each axis.
    """
    table = np.array(spacings, dtype=np.float64)
    target = np.median(table, axis=0)
    thick = target > THICK * target.min()
    target[thick] = np.percentile(table[:, thick], _OF_THICK, axis=0)
    return tuple(round(float(step), 4) for step in target)


def are_worth_it(counts: Sequence[int], spacings: Sequence[Spacing]) -> bool:
    """Whether volumes are looked at as such where nobody says: enough planes, and no thick ones.

    Args:
        counts: planes of some volumes.
        spacings: their millimetres between planes, rows and columns.
    """
    between, down, across = np.median(np.array(spacings, dtype=np.float64), axis=0)
    return bool(np.median(counts) >= FEWEST_PLANES and between < THICK * min(down, across))
