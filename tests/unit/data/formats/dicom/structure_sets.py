"""Series and structure sets (RTSTRUCT) to test with, made by pydicom."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage

FIRST = (-30.1, -20.3, 5.4)
"""Where the centre of the first pixel of the first slice lies."""

SPACING = (0.7, 0.9, 2.5)
"""Between columns, rows and slices."""

Points = Sequence[tuple[float, float]]


def named(kind: Any, uid: str, **tags: Any) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = kind
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = uid
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    return ds


def write_ct(
    folder: Path, *, series: str = "1.2.3", space: str = "1.9", shape: tuple[int, int, int] = (4, 24, 20)
) -> Path:
    """Axial slices of noise, slices x rows x columns; the path that stands for them."""
    numbers = np.random.default_rng(0).integers(0, 2000, shape).astype(np.int16)
    return write_slices(folder, dict(enumerate(numbers)), series=series, space=space)


def write_slices(
    folder: Path,
    slices: Mapping[int, np.ndarray],
    *,
    series: str = "1.2.3",
    space: str = "1.9",
    place: tuple[float, float, float] = FIRST,
) -> Path:
    """Axial slices of 16 bits by their number from the first of the grid; the path of the first of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in slices.items():
        slice_ = named(
            CTImageStorage, f"{series}.{number}", Modality="CT", SeriesInstanceUID=series,
            StudyInstanceUID=f"{series}.9", PatientID=series, FrameOfReferenceUID=space,
            Rows=pixels.shape[0], Columns=pixels.shape[1], PhotometricInterpretation="MONOCHROME2",
            PixelRepresentation=1, SamplesPerPixel=1, BitsAllocated=16, BitsStored=16, HighBit=15,
            PixelSpacing=[SPACING[1], SPACING[0]], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[*place[:2], place[2] + SPACING[2] * number],
            PixelData=pixels.astype(np.int16).tobytes(),
        )  # fmt: skip
        slice_.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder / f"{min(slices)}.dcm"


def in_plane(number: float, corners: Points) -> list[float]:
    """A contour in millimetres from columns and rows of pixels."""
    points = np.array([(column, row, number) for column, row in corners]) * SPACING + FIRST
    return [float(value) for value in points.reshape(-1).round(4)]


def box(left: float, top: float, right: float, bottom: float) -> Points:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def write_contours(
    path: Path,
    regions: Mapping[str, Sequence[tuple[float, Points]]],
    *,
    series: str = "1.2.3",
    space: str = "1.9",
    kind: str = "CLOSED_PLANAR",
    first: int = 7,
) -> Path:
    """A structure set of regions by name: contours by the number of their plane."""
    path.parent.mkdir(parents=True, exist_ok=True)
    of_series = Dataset()
    of_series.SeriesInstanceUID = series
    of_study = Dataset()
    of_study.RTReferencedSeriesSequence = [of_series]
    of_space = Dataset()
    of_space.FrameOfReferenceUID, of_space.RTReferencedStudySequence = space, [of_study]
    ds = named(RTStructureSetStorage, f"{series}.7.{first}", Modality="RTSTRUCT", SeriesInstanceUID=f"{series}.7")
    ds.ReferencedFrameOfReferenceSequence = [of_space]
    ds.StructureSetROISequence, ds.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), start=first):
        ds.StructureSetROISequence.append(_named_region(number, name, space))
        ds.ROIContourSequence.append(_drawn_region(number, contours, kind))
    ds.save_as(path, enforce_file_format=True)
    return path


def _named_region(number: int, name: str, space: str) -> Dataset:
    region = Dataset()
    region.ROINumber, region.ROIName, region.ReferencedFrameOfReferenceUID = number, name, space
    return region


def _drawn_region(number: int, contours: Sequence[tuple[float, Points]], kind: str) -> Dataset:
    region = Dataset()
    region.ReferencedROINumber, region.ContourSequence = number, []
    for plane, corners in contours:
        contour = Dataset()
        contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(corners)
        contour.ContourData = in_plane(plane, corners)
        region.ContourSequence.append(contour)
    return region
