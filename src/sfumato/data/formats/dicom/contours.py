"""Contours of radiotherapy (RTSTRUCT), read as labels on the grid of the images that they were drawn on.

A structure set has points in millimetres and no pixels, so it is a mask only together with its images. Each closed
contour lies in a plane of these; its pixels are filled by the rule of `formats.outlines`. So several contours of a
region in one plane are combined by exclusive or, which is what CLOSEDPLANAR_XOR says and what programs mean that write
a hole as a contour within another; a hole that is joined to its outline by a channel comes out the same. Where regions
overlap, the smaller one is on top: a tumour stays visible in its planning volume.

Points and open contours enclose nothing. A contour between the planes, or in another space, is refused.

Source: DICOM PS3.3 C.8.8.5 (Structure Set), C.8.8.6 (ROI Contour).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from sfumato.data.formats.dicom.facts import DicomFacts, read_facts
from sfumato.data.formats.dicom.file import guarded, is_dicom, read_dataset
from sfumato.data.formats.dicom.places import JITTER
from sfumato.data.formats.dicom.structures import CONTOURS, closed_regions
from sfumato.data.formats.outlines import filled
from sfumato.data.formats.scan import read_header
from sfumato.data.formats.volume import Volume, VolumeHeader
from sfumato.errors import DataError, listed
from sfumato.escape import visible

_Points = Float[np.ndarray, "_ 3"]

OFF = 2 * JITTER
"""Share of the distance between planes by which a contour may lie beside its plane."""

_SHOWN = 8

RULE = (
    "contours (RTSTRUCT), read as masks: pixels whose centres lie inside; what lies inside an even number of the "
    "contours of a region is outside of it; where regions overlap, the smaller one counts (--class-names NAME,NAME "
    "chooses some)"
)


class Region(NamedTuple):
    """What was drawn of a region.

    Attributes:
        value: of its pixels; regions of one name share it.
        name: as it is called.
        space: UID of the frame of reference that it was drawn in; never shown.
        rings: its closed contours, millimetres to the patient's left, back and head.
    """

    value: int
    name: str
    space: str
    rings: tuple[_Points, ...]


class _Placed(NamedTuple):
    """The contours of a region on the grid of an image: those of each plane, and those beyond its planes."""

    region: Region
    planes: dict[int, list[Float[np.ndarray, "_ 2"]]]
    beyond: int


def is_structure_set(path: Path) -> bool:
    """Whether a file holds contours instead of pixels."""
    return is_dicom(path) and read_facts(path).segmentation == CONTOURS


def header_on(image: Path, path: Path) -> VolumeHeader:
    """The header of contours as a mask of an image.

    Raises:
        DataError: as for `contours_header`; or a file cannot be read.
    """
    return contours_header(read_facts(path), read_header(image), _space(image))


def contours_header(facts: DicomFacts, whole: VolumeHeader, space: str) -> VolumeHeader:
    """The header of contours as a mask.

    Args:
        facts: of their file.
        whole: the header of the image that they are laid on.
        space: UID of the frame of reference of that image; "" where it has none.

    Raises:
        DataError: there are none that are closed; they lie in another space or between the planes of the image.
    """
    regions = _regions(facts.path, facts.path.stat().st_mtime_ns)
    axis, placed = _place(facts.path, regions, whole, space)
    names = dict(facts.segments)
    return VolumeHeader(
        shape=whole.shape[:3],
        dtype=np.dtype(np.uint8 if len(names) < 256 else np.uint16),
        affine=whole.affine,
        modality=CONTOURS,
        label=True,
        names=names,
        notes=(RULE, *facts.notes, *_notes(axis, placed, whole.shape)),
    )


def read_contours(path: Path, image: Path, values: Sequence[tuple[int, int]] = ()) -> Volume:
    """Contours as labels on the grid of an image.

    Args:
        path: their file.
        image: what they were drawn on.
        values: pairs of a region's number and the value that it gets; others are left out. All as they are without.

    Raises:
        DataError: as for `contours_header`.
    """
    whole = read_header(image)
    regions = _regions(path, path.stat().st_mtime_ns)
    chosen = dict(values) or {region.value: region.value for region in regions}
    axis, placed = _place(path, [one for one in regions if one.value in chosen], whole, _space(image))
    labels = np.zeros(whole.shape[:3], np.uint8 if max(chosen.values(), default=0) < 256 else np.uint16)
    planes = np.moveaxis(labels, axis, 0)
    drawn = [(chosen[one.region.value], _areas(one, planes.shape[1:])) for one in placed]
    for value, areas in sorted(drawn, key=lambda one: -sum(int(area.sum()) for area in one[1].values())):
        for number, area in areas.items():
            planes[number][area] = value
    return Volume(voxels=labels, affine=whole.affine)


def _areas(placed: _Placed, shape: Sequence[int]) -> dict[int, Bool[np.ndarray, "h w"]]:
    """The pixels of a region in each plane."""
    return {number: filled(rings, *shape) for number, rings in placed.planes.items()}


def _space(image: Path) -> str:
    return read_facts(image).space if is_dicom(image) else ""


def _place(path: Path, regions: Sequence[Region], whole: VolumeHeader, space: str) -> tuple[int, list[_Placed]]:
    """The axis of the image along which the planes of contours lie, and the contours of each region in them."""
    if space and any(region.space not in ("", space) for region in regions):
        raise DataError(
            f"{path}: its contours were drawn in another frame of reference than that of its image",
            expected="contours that were drawn on the image, or on one of the same frame of reference",
            remedy="export them again with the series that they were drawn on, or resample to it",
            code="DATA-012",
        )
    inverse = np.linalg.inv(whole.affine) @ np.diag([-1.0, -1.0, 1.0, 1.0])
    found = [[_rounded(ring @ inverse[:3, :3].T + inverse[:3, 3]) for ring in region.rings] for region in regions]
    rings = [ring for of_region in found for ring in of_region]
    axis = int(np.max([np.ptp(ring, axis=0) for ring in rings], axis=0).argmin()) if rings else 2
    _refuse_between(path, regions, found, axis)
    placed = [_in_planes(region, rings, axis, whole.shape) for region, rings in zip(regions, found, strict=True)]
    if placed and not any(one.planes for one in placed):
        raise DataError(
            f"{path}: all its contours lie outside of its image",
            expected="contours that were drawn on the image",
            remedy="check that the files belong together",
            code="DATA-012",
        )
    return axis, placed


def _rounded(ring: _Points) -> _Points:
    """Places to a ten-thousandth of a pixel: what runs through the centres of pixels does so exactly."""
    return np.round(ring, 4)


def _refuse_between(path: Path, regions: Sequence[Region], found: Sequence[Sequence[_Points]], axis: int) -> None:
    off = {
        region.name: float(np.abs(ring[:, axis] - np.rint(ring[:, axis].mean())).max())
        for region, rings in zip(regions, found, strict=True)
        for ring in rings
        if np.abs(ring[:, axis] - np.rint(ring[:, axis].mean())).max() > OFF
    }
    if off:
        told = [f"{visible(name)}: {share:.2f} of the distance between planes off" for name, share in off.items()]
        raise DataError(
            f"{path}: contours lie between the planes of its image, or across them:\n{listed(told)}",
            expected="closed contours, each in a plane of the image",
            remedy="export them on the planes of the image, or as a label volume (NIfTI, DICOM SEG)",
            code="DATA-012",
        )


def _in_planes(region: Region, rings: Sequence[_Points], axis: int, shape: Sequence[int]) -> _Placed:
    """The contours by planes, as rings whose rows run along the first of the other axes."""
    down, across = (other for other in range(3) if other != axis)
    planes = dict[int, list[Float[np.ndarray, "_ 2"]]]()
    for ring in rings:
        number = int(np.rint(ring[:, axis].mean()))
        seen = all(_touches(ring[:, along], shape[along]) for along in (down, across))
        if seen and 0 <= number < shape[axis]:
            planes.setdefault(number, []).append(ring[:, [across, down]])
    return _Placed(region, planes, len(rings) - sum(map(len, planes.values())))


def _touches(places: np.ndarray, size: int) -> bool:
    return bool(places.max() >= -0.5 and places.min() <= size - 0.5)


def _notes(axis: int, placed: Sequence[_Placed], shape: Sequence[int]) -> Iterator[str]:
    if beyond := [one.region.name for one in placed if one.beyond]:
        yield f"contours outside of the images, left out: {_some(beyond)}"
    gaps = [one.region.name for one in placed if one.planes and np.ptp(list(one.planes)) >= len(one.planes)]
    if gaps:
        yield f"regions that have planes without a contour between others, empty there: {_some(gaps)}"

    size = [shape[other] for other in range(3) if other != axis]
    thin = [
        one.region.name
        for one in placed
        if one.planes and not any(filled(rings, *size).any() for rings in one.planes.values())
    ]
    if thin:
        yield f"regions whose contours hold no pixel's centre, empty: {_some(thin)}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(visible(name) for name in dict.fromkeys(names[:_SHOWN]))
    return f"{shown}{' ...' if len(names) > _SHOWN else ''}"


@lru_cache(maxsize=4)
def _regions(path: Path, _changed: int) -> tuple[Region, ...]:
    """The regions of a file that have closed contours."""
    dataset = read_dataset(path, ("StructureSetROISequence", "ROIContourSequence"))
    with guarded(path, "its contours cannot be read"):
        spaces = {
            int(item.ROINumber): str(item.get("ReferencedFrameOfReferenceUID") or "")
            for item in dataset.StructureSetROISequence
        }
        return tuple(
            Region(value, name, spaces[number], tuple(ring for ring in map(_points, contours) if len(ring) > 2))
            for number, value, name, contours in closed_regions(dataset)
        )


def _points(contour: Any) -> _Points:
    """The points of a contour; the library would make an object of each number.

    Raises:
        ValueError: they are no finite points.
    """
    value = contour.get_item("ContourData").value
    numbers = value.decode("ascii").rstrip(" \0").split("\\") if isinstance(value, bytes) else value
    points = np.array([float(number) for number in numbers]).reshape(-1, 3)
    if not np.isfinite(points).all():
        raise ValueError
    return points
