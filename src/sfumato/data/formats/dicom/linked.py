"""The images that a segmentation is linked to, with the tags of patient and study that it takes from them.

This is the one place where such tags leave a file, and only because a person asked for it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from sfumato.data.formats.dicom.file import guarded, read_dataset
from sfumato.data.formats.dicom.series import slices_in_order
from sfumato.errors import DataError

PATIENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
"""Tags of patient and study that a file must have, if only empty."""

REFERRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")

SERIES_AFTER = 100
"""The segmentation of series 3 is series 301."""


class Linked(NamedTuple):
    """Images that a segmentation refers to.

    Attributes:
        datasets: one for each slice, or one with all frames.
        numbers: the slice of the volume that each of their frames is.
        series_number: of the segmentation.
    """

    datasets: list[Any]
    numbers: Int[np.ndarray, " n"]
    series_number: int


def read_linked(source: Path, *, thickness: Any) -> Linked:
    """The files of a volume, with all their tags and without pixels.

    Args:
        source: one of the files.
        thickness: of slices that do not say it themselves.

    Raises:
        DataError: a file does not say to which study or place it belongs.
    """
    paths, numbers = slices_in_order(source)
    datasets = [read_dataset(path, None) for path in paths]
    for path, dataset in zip(paths, datasets, strict=True):
        with guarded(path, "its tags cannot be read"):
            lacking = [name for name in REFERRED if not dataset.get(name)]
            for keyword in PATIENT:
                if keyword not in dataset:
                    setattr(dataset, keyword, "")
            if not dataset.get("SliceThickness"):
                dataset.SliceThickness = thickness
        placed = "ImagePositionPatient" in dataset or "PerFrameFunctionalGroupsSequence" in dataset
        if lacking or not placed:
            what = ", ".join(lacking) or "place in space (ImagePositionPatient)"
            raise DataError(
                f"{path} cannot be linked to: it has no {what}",
                expected="images of a study that say where they lie",
                remedy="leave --link out",
                code="DATA-046",
            )
    number = datasets[0].get("SeriesNumber")
    return Linked(datasets, numbers, int(number or 0) * SERIES_AFTER + 1)
