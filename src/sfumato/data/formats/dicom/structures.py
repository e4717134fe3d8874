"""What a structure set (RTSTRUCT) says of itself: its regions, and the images that they were drawn on.

Source: DICOM PS3.3 C.8.8.5 (Structure Set), C.8.8.6 (ROI Contour).
"""

from collections import defaultdict
from collections.abc import Iterator

from sfumato.data.formats.dicom.file import DicomDataset
from sfumato.escape import visible

CONTOURS = "RTSTRUCT"
"""The modality of files that hold contours (`sfumato.data.formats.dicom.contours`)."""

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Kinds of contours that enclose something."""


def structure_regions(dataset: DicomDataset) -> dict[tuple[int, str], None]:
    """Values and names of the regions of a structure set, each once."""
    return dict.fromkeys((value, name) for _, value, name, _ in closed_regions(dataset))


def closed_regions(dataset: DicomDataset) -> Iterator[tuple[int, int, str, list[DicomDataset]]]:
    """The regions of a structure set that have closed contours: number, value, name, and these contours.

    Values count from 1 in the order of the file; regions of one name share one.
    """
    drawn, values = defaultdict[int, list[DicomDataset]](list), dict[str, int]()
    for item in dataset.get("ROIContourSequence") or ():
        drawn[int(item.ReferencedROINumber)] += [one for one in item.get("ContourSequence") or () if _is_closed(one)]
    for number, name in _names_of_regions(dataset):
        if contours := drawn.get(number):
            yield number, values.setdefault(name, len(values) + 1), name, contours


def _names_of_regions(dataset: DicomDataset) -> Iterator[tuple[int, str]]:
    for item in dataset.get("StructureSetROISequence") or ():
        yield int(item.ROINumber), str(item.get("ROIName") or "").strip() or f"region {item.ROINumber}"


def _is_closed(contour: DicomDataset) -> bool:
    return contour.get("ContourGeometricType") in CLOSED and "ContourData" in contour


def unclosed(dataset: DicomDataset) -> Iterator[str]:
    """Regions that enclose nothing."""
    closed = {name for _, _, name, _ in closed_regions(dataset)}
    if others := [name for _, name in _names_of_regions(dataset) if name not in closed]:
        shown = ", ".join(map(visible, others[:5]))
        yield f"regions without a closed contour, not used: {shown}{' ...' if len(others) > 5 else ''}"


def space(dataset: DicomDataset) -> str:
    """The frame of reference in which all regions of a structure set lie; "" where there are several."""
    named = dataset.get("ReferencedFrameOfReferenceSequence") or ()
    spaces = {str(item.get("FrameOfReferenceUID", "")) for item in named}
    named = dataset.get("StructureSetROISequence") or ()
    spaces |= {str(item.get("ReferencedFrameOfReferenceUID", "")) for item in named}
    spaces.discard("")
    return spaces.pop() if len(spaces) == 1 else ""


def references(dataset: DicomDataset) -> Iterator[str]:
    """UIDs of the images and series that contours refer to."""
    series = [
        series
        for space in dataset.get("ReferencedFrameOfReferenceSequence") or ()
        for study in space.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
    ]
    contours = [
        contour for region in dataset.get("ROIContourSequence") or () for contour in region.get("ContourSequence") or ()
    ]
    for item in (*series, *contours):
        yield str(item.get("SeriesInstanceUID", ""))
        for image in item.get("ContourImageSequence") or ():
            yield str(image.get("ReferencedSOPInstanceUID", ""))
