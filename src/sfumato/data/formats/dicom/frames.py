"""The frames of a DICOM file: where each lies and what its stored numbers mean.

Files of one slice say it in their own tags, files of many frames in functional groups: one for each frame, and one that
the frames share.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.data.formats.content import damaged
from sfumato.data.formats.dicom.file import DicomDataset

FRAME_TAGS = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SpacingBetweenSlices",
    "SliceThickness",
    "SequenceOfUltrasoundRegions",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
)
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")

PLANE, CENTIMETRE = 1, 3
"""Of an ultrasound region: it is a plane; its steps are in this unit."""

_Numbers = tuple[float, ...]


class Frame(NamedTuple):
    """Where a frame lies and what its stored numbers mean.

    Attributes:
        position: centre of its first pixel, millimetres to the patient's left, back and head.
        orientation: direction of its rows, then of its columns.
        spacing: millimetres between rows and between columns.
        distance: millimetres to the next slice.
        slope: a value is `slope * stored + intercept`.
        intercept: as said.
        window: lowest and highest value to be shown.
        segment: the segment that a frame of a segmentation is of.
    """

    position: _Numbers | None
    orientation: _Numbers | None
    spacing: _Numbers | None
    distance: float | None
    slope: float
    intercept: float
    window: tuple[float, float] | None
    segment: int | None


def read_frames(path: Path, dataset: DicomDataset, count: int | None) -> Iterator[Frame]:
    """One for each functional group, or else one that stands for all frames.

    Args:
        path: for errors.
        dataset: with the `FRAME_TAGS`.
        count: number of frames; None where there is no image.

    Raises:
        DataError: there are other than `count` functional groups.
        ValueError: a value is not sensible.
    """
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or ())[:1]
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if groups and count not in (None, len(groups)):
        raise damaged(path, f"it has {count} frames and describes {len(groups)}")
    for group in groups or (None,):
        yield _frame([*([] if group is None else [group]), *shared], dataset)


def _frame(levels: Sequence[DicomDataset], dataset: DicomDataset) -> Frame:
    def find(sequence: str, keyword: str) -> Any:
        """The value of the frame's own functional group, else of the shared one, else of the file."""
        for level in levels:
            if level.get(sequence) and level[sequence][0].get(keyword) is not None:
                return level[sequence][0].get(keyword)
        return dataset.get(keyword)

    found = (find("PixelMeasuresSequence", name) for name in SPACINGS)
    spacing = next((value for value in found if value and any(value)), None) or _of_regions(dataset)
    distance = find("PixelMeasuresSequence", "SpacingBetweenSlices") or find("PixelMeasuresSequence", "SliceThickness")
    slope = find("PixelValueTransformationSequence", "RescaleSlope")
    segment = find("SegmentIdentificationSequence", "ReferencedSegmentNumber")
    return Frame(
        position=_numbers(find("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=_numbers(find("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=_positive(_numbers(spacing, 2)),
        distance=abs(float(distance)) or None if distance is not None else None,
        slope=1.0 if slope is None else float(slope),
        intercept=float(find("PixelValueTransformationSequence", "RescaleIntercept") or 0),
        window=_window(
            *(find("FrameVOILUTSequence", name) for name in ("WindowCenter", "WindowWidth", "VOILUTFunction"))
        ),
        segment=None if segment is None else int(segment),
    )


def _of_regions(dataset: DicomDataset) -> list[float] | None:
    """Millimetres between rows and columns of an ultrasound image, where its regions of two dimensions agree.

    Source: DICOM PS3.3 C.8.5.5 (RegionSpatialFormat 1 is a plane, unit 3 is the centimetre).
    """
    steps = {
        (abs(float(region.PhysicalDeltaY)) * 10, abs(float(region.PhysicalDeltaX)) * 10)
        for region in dataset.get("SequenceOfUltrasoundRegions") or ()
        if region.get("RegionSpatialFormat") == PLANE
        and (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")) == (CENTIMETRE, CENTIMETRE)
    }
    return list(steps.pop()) if len(steps) == 1 and all(min(steps, default=())) else None


def _numbers(value: Any, count: int) -> _Numbers | None:
    if value is None or value == "":
        return None
    numbers = tuple(map(float, value))
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError
    return numbers


def _positive(numbers: _Numbers | None) -> _Numbers | None:
    if numbers is not None and min(numbers) <= 0:
        raise ValueError
    return numbers


def _window(center: Any, width: Any, function: Any) -> tuple[float, float] | None:
    """The ends of the first window, PS3.3 C.11.2.1.2."""
    if center is None or width is None:
        return None
    center, width = _first(center), _first(width)
    if width < 1:
        return None
    if function in ("LINEAR_EXACT", "SIGMOID"):
        return center - width / 2, center + width / 2
    return center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2


def _first(value: Any) -> float:
    """The first of one or several numbers."""
    return float(next(iter(value)) if hasattr(value, "__iter__") else value)
