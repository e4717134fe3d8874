"""From the places of slices to one regular grid, or an error that says which slices do not fit.

Slices lie along the normal n = r x c of their rows r and columns c. The grid is

    millimetres(i, j, k) = position(first slice) + i * across * r + j * down * c + k * step * n

for column i, row j and slice k. Slices of an image must be there all, once each, at equal distances. Frames of a
segmentation may lack (what is not stored is empty) and share a place (one frame for each segment).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sfumato.data.formats.dicom.facts import DicomFacts
from sfumato.data.formats.dicom.frames import Frame
from sfumato.data.formats.grid import Affine
from sfumato.errors import DataError, listed

Along = Float[np.ndarray, " n"]

MISSING = "DATA-041"
"""The code of the error that slices are missing."""

UNEVEN = 0.01
"""Share of the distance between slices by which it may vary."""

JITTER = 0.1
"""Share of the distance by which a slice may lie beside its place at equal distances: tables move not quite evenly."""

_ROUNDING = 0.011
"""Millimetres that positions are off where they were written with two digits."""

TILT = 0.01
"""Millimetres aside per millimetre along the normal: about half a degree."""

PARALLEL = 1e-3
"""How much the cosines of directions may differ."""


class _Place(NamedTuple):
    """Where a slice lies, in millimetres to the patient's left, back and head.

    Attributes:
        name: for errors.
        position: of the centre of its first pixel.
        orientation: direction of its rows, then of its columns.
        spacing: between rows and between columns.
    """

    name: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]


class Slices(NamedTuple):
    """Slices on a regular grid.

    Attributes:
        affine: from column, row, slice to millimetres to the right, front and head (RAS).
        numbers: of the slice at which each place lies.
        depth: number of slices.
        notes: what was assumed.
    """

    affine: Affine
    numbers: Int[np.ndarray, " n"]
    depth: int
    notes: tuple[str, ...] = ()


def places(facts: DicomFacts) -> list[_Place]:
    """Where the frames of a file lie.

    Frames of which nothing is said (ultrasound, X-ray) lie one behind the other from the origin towards the head, with
    1 mm for what is missing.
    """
    count = facts.encoding.frame_count if facts.encoding is not None else 0
    if count == 1:
        return [_place(str(facts.path), facts.frames[0])]
    if len(facts.frames) == count:
        return [_place(f"{facts.path} frame {number + 1}", frame) for number, frame in enumerate(facts.frames)]
    first = _place(str(facts.path), facts.frames[0])
    step = np.cross(*_axes(first)) * (facts.frames[0].distance or 1.0)
    return [
        first._replace(name=f"{facts.path} frame {number + 1}", position=tuple(first.position + number * step))
        for number in range(count)
    ]


def _place(name: str, frame: Frame) -> _Place:
    return _Place(
        name,
        frame.position or (0.0,) * 3,
        frame.orientation or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        frame.spacing or (1.0, 1.0),
    )


def image_slices(places: Sequence[_Place], *, distance: float) -> Slices:
    """The grid of an image's slices.

    Args:
        places: of the slices, in any order.
        distance: to the next slice where there is one only.

    Raises:
        DataError: slices are tilted, not parallel, twice at one place, or missing.
    """
    along = _along(places)
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    pairs = [(places[first], places[second]) for first, second in pairwise(order)]
    first, notes = places[order[0]], tuple[str, ...]()
    if len(places) > 1:
        _refuse_twice(pairs, gaps)
        if not _is_uneven(gaps).any():
            distance = float(gaps.mean())
        else:
            even = _evenly(along[order], np.arange(len(places)), said=distance)
            if even.off > JITTER * even.step:
                raise _uneven(pairs, gaps)
            distance, first, notes = even.step, _moved(first, even.start - along[order[0]]), (even.note(),)
    numbers = np.empty(len(places), int)
    numbers[order] = np.arange(len(places))
    return Slices(_affine(first, distance), numbers, len(places), notes)


class _Even(NamedTuple):
    """The places at equal distances that are nearest to those of some slices.

    Attributes:
        start: of the first, along the normal.
        step: to the next.
        off: by which a slice lies beside its place at most.
    """

    start: float
    step: float
    off: float

    def note(self) -> str:
        """What is said of them."""
        share = f"{self.off:.3g} mm, {100 * self.off / self.step:.0f} % of their distance"
        return f"its slices lie up to {share}, beside equal distances of {self.step:.3g} mm: taken as even"


def _evenly(along: Along, numbers: Int[np.ndarray, " n"], *, said: float) -> _Even:
    """Least squares: slice k at start + k step; with the step that the file says, if that fits about as well."""
    free, given = (_from_step(along, numbers, step) for step in (float(np.polyfit(numbers, along, 1)[0]), said))
    return given if given.off <= min(1.5 * free.off, JITTER * said) else free


def _from_step(along: Along, numbers: Int[np.ndarray, " n"], step: float) -> _Even:
    start = float((along - numbers * step).mean())
    return _Even(start, step, float(np.abs(along - start - numbers * step).max()))


def _moved(place: _Place, distance: float) -> _Place:
    """A place moved along its normal."""
    return place._replace(position=tuple(place.position + distance * np.cross(*_axes(place))))


def segment_slices(places: Sequence[_Place], *, distance: float | None) -> Slices:
    """The grid of a segmentation's frames, from the first to the last that is stored.

    Args:
        places: of the frames, in any order.
        distance: between slices as the file says it; where the frames lie otherwise, or it says nothing, their
            smallest distance counts.

    Raises:
        DataError: frames are tilted, not parallel, or not on a common grid.
    """
    along = _along(places)
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    gaps = np.where(gaps > _ROUNDING, gaps, 0.0)
    step = distance if distance and _multiples(gaps, distance) else float(gaps[gaps > 0].min())
    if not _multiples(gaps, step):
        raise DataError(
            f"{places[0].name} and the other frames lie {_millimetres(gaps[gaps > 0])} mm apart",
            expected="multiples of one distance",
            remedy="export the segmentation on the grid of its image",
            code=MISSING,
        )
    numbers = np.empty(len(places), int)
    numbers[order] = np.concatenate([[0], np.cumsum(np.rint(gaps / step))]).astype(int)
    last = int(numbers.max())
    step = float(along.max() - along.min()) / last if last else step
    first = places[order[0]]
    if last and (even := _evenly(along, numbers, said=distance or step)).off > max(UNEVEN * step, _ROUNDING):
        step, first = even.step, _moved(first, even.start - along[order[0]])
    return Slices(_affine(first, step), numbers, last + 1)


def _multiples(gaps: Along, step: float) -> bool:
    """Whether frames lie on a grid of this step, or beside it by no more than the slices of an image may."""
    return bool((np.abs(gaps - np.rint(gaps / step) * step) <= np.maximum(2 * JITTER * step, _ROUNDING)).all())


def _along(places: Sequence[_Place]) -> Along:
    """Millimetres of each place along the normal of the first.

    Raises:
        DataError: not all planes are parallel and in line.
    """
    orientation = np.array(places[0].orientation)
    if others := [
        place.name for place in places if np.abs(np.subtract(place.orientation, orientation)).max() > PARALLEL
    ]:
        raise _no_volume(f"{places[0].name} and {len(others)} other slices are not parallel:\n{listed(others)}")
    if others := [place.name for place in places if not np.allclose(place.spacing, places[0].spacing, rtol=UNEVEN)]:
        raise _no_volume(f"{places[0].name} and {len(others)} other slices have different pixels:\n{listed(others)}")
    rows, columns = _axes(places[0])
    offsets = np.array([place.position for place in places]) - places[0].position
    along = offsets @ np.cross(rows, columns)
    aside = offsets - along[:, None] * np.cross(rows, columns)
    worst = int(np.linalg.norm(aside, axis=1).argmax())
    drift, reach = float(np.linalg.norm(aside[worst])), float(np.ptp(along))
    if drift > TILT * reach + 5 * _ROUNDING:
        angle = np.degrees(np.arctan2(drift, abs(along[worst])))
        raise _no_volume(
            f"{places[worst].name} lies {drift:.2f} mm aside of {places[0].name}, {angle:.1f} degrees off the normal "
            "(gantry tilt, or slices of several series)"
        )
    return np.asarray(along)


def _axes(place: _Place) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors along the rows and the columns."""
    rows, columns = np.array(place.orientation[:3]), np.array(place.orientation[3:])
    lengths = np.linalg.norm(rows), np.linalg.norm(columns)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(rows @ columns)) > 10 * PARALLEL:
        raise _no_volume(f"{place.name}: its rows and columns are not at right angles (ImageOrientationPatient)")
    return rows / lengths[0], columns / lengths[1]


def _affine(place: _Place, step: float) -> Affine:
    rows, columns = _axes(place)
    down, across = place.spacing
    lps = np.eye(4)
    lps[:3] = np.stack([rows * across, columns * down, np.cross(rows, columns) * step, place.position], axis=1)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def _no_volume(finding: str) -> DataError:
    return DataError(
        finding,
        expected="parallel slices of one size, one behind the other",
        remedy="put each series in a folder of its own; resample tilted series to NIfTI first",
        code="DATA-043",
    )


def _refuse_twice(pairs: Sequence[tuple[_Place, _Place]], gaps: Along) -> None:
    same = [f"{a.name} and {b.name}" for (a, b), gap in zip(pairs, gaps, strict=True) if gap <= _ROUNDING / 10]
    if same:
        raise DataError(
            f"{len(same)} slices lie where another one lies (copies, time points or echoes):\n{listed(same)}",
            expected="one slice at each position",
            remedy="delete the copies, or put each time point in a folder of its own",
            code="DATA-042",
        )


def _is_uneven(gaps: Along) -> np.ndarray:
    usual = float(np.median(gaps))
    return np.abs(gaps - usual) > max(UNEVEN * usual, _ROUNDING)


def _uneven(pairs: Sequence[tuple[_Place, _Place]], gaps: Along) -> DataError:
    usual = float(np.median(gaps))
    return DataError(
        f"the slices do not lie at equal distances of {usual:.2f} mm:\n"
        f"{listed(list(_gaps(pairs, gaps, _is_uneven(gaps), usual)))}",
        expected="all slices of a series",
        remedy="copy the missing slices, or resample the series to NIfTI first",
        code=MISSING,
    )


def _gaps(
    pairs: Sequence[tuple[_Place, _Place]], gaps: Along, off: Sequence[bool] | np.ndarray, usual: float
) -> Iterator[str]:
    for (first, second), gap, is_off in zip(pairs, gaps, off, strict=True):
        if is_off:
            missing = f" ({round(gap / usual) - 1} missing)" if gap > 1.5 * usual else ""
            yield f"{gap:.2f} mm between {first.name} and {second.name}{missing}"


def _millimetres(gaps: Along) -> str:
    return ", ".join(f"{gap:.2f}" for gap in np.unique(gaps.round(2))[:5])
