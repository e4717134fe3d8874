"""Segmentations and the images that they are drawn on: where their planes lie, and how one is written.

What is written refers to nothing: not to a patient, a study, a series or an image. All its UIDs are random, the
patient's tags are empty, and its dates are those of writing. It is laid over its image by its geometry alone. Only
where a person asks for it (`link`) is it written into the study of its image, for archives and viewers to know it by.
"""

import io
from collections.abc import Sequence
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.atomic import write_atomic
from sfumato.data.formats.dicom.contours import is_structure_set, read_contours
from sfumato.data.formats.dicom.file import is_dicom, library, quiet
from sfumato.data.formats.dicom.linked import PATIENT, Linked, read_linked
from sfumato.data.formats.dicom.places import JITTER
from sfumato.data.formats.dicom.seg import LabelMap
from sfumato.data.formats.dicom.series import is_uneven
from sfumato.data.formats.grid import Grid, grid_differences, to_lps
from sfumato.data.formats.origin import DESCRIPTION, INTENT, Origin
from sfumato.data.formats.scan import read_header, read_volume
from sfumato.data.formats.volume import Axis, VolumeHeader, as_stored, count_planes
from sfumato.errors import DataError
from sfumato.escape import visible

MISPLACED = 0.05
"""Share of a voxel by which a corner may lie beside the grid of the image: positions are rounded in many files."""

_LPS: tuple[Axis, ...] = ("sagittal", "coronal", "axial")


def seg_offset(image: Path, seg: Path, axis: Axis) -> int:
    """The number of the image's plane at which the first plane of a segmentation lies.

    Plane p of the image has the mask `seg::axis/(p - offset)`, where numbers below 0 or behind the last plane are
    empty masks.

    Raises:
        DataError: the planes of the two differ in size, distance or place.
    """
    whole, part = (Grid.of(header.shape, header.affine) for header in (read_header(image), read_header(seg)))
    along = _LPS.index(axis)
    corners = np.array(list(product(*((0, size - 1) for size in part.shape)))).T
    moved = np.linalg.solve(whole.steps, part.steps @ corners + (part.origin - whole.origin)[:, None]) - corners
    offset = round(float(moved[along, 0]))
    moved[along] -= offset
    part = part._replace(shape=(*part.shape[:along], whole.shape[along], *part.shape[along + 1 :]))
    if is_dicom(image) and is_uneven(image):
        moved[along] *= MISPLACED / (2 * JITTER)
    if part.shape != whole.shape or np.abs(moved).max() > MISPLACED:
        found = grid_differences(part._replace(origin=part.origin - offset * part.steps[:, along]), whole)
        raise DataError(
            f"{seg} does not lie on the planes of its image {image}: {'; '.join(found)}",
            expected=f"a segmentation on the grid of its image; it may lack {axis} planes only",
            remedy="export it with the geometry of its image, or cut along the axis of its frames (--slice-axis)",
            code="DATA-012",
        )
    return offset


def on_image(image: Path, drawn: Path) -> LabelMap:
    """A segmentation, or contours, as labels of the voxels of their image; of another label volume as it is.

    Raises:
        DataError: it does not lie on its image, or a file cannot be read.
    """
    if is_structure_set(drawn):
        return read_contours(drawn, image).voxels
    part = read_volume(drawn)
    if not part.endless:
        return part.voxels
    axis = _LPS[to_lps(part.affine)[0].index(2)]  # frames lie along the third stored axis
    whole, planes, offset = read_header(image), part.planes(axis), seg_offset(image, drawn, axis)
    laid = np.zeros((count_planes(whole, axis), *planes.shape[1:]), planes.dtype)
    first, behind = max(0, offset), min(len(laid), offset + len(planes))
    laid[first:behind] = planes[first - offset : behind - offset]
    return as_stored(laid, axis, whole.affine)


def write_seg(
    path: Path, masks: LabelMap, source: Path, *, names: Sequence[str], origin: Origin | None = None, link: bool = False
) -> None:
    """Write a binary DICOM segmentation; it appears under its name only when it is whole.

    Args:
        path: ends in `.dcm`.
        masks: 0 for background, n for the segment that is called `names[n - 1]`; in the stored order of `source`.
        source: the volume that was segmented; its geometry is taken, nothing else.
        names: of the segments; at most 64 characters of each are written.
        origin: the model that drew them.
        link: write patient, study, frame of reference and the images that it was drawn on, as `source` has them.

    Raises:
        DataError: the mask has another shape than its source or a value without a name; or it cannot be linked.
    """
    header = read_header(source)
    if masks.shape != header.shape[:3] or not 0 <= int(masks.min()) <= int(masks.max()) <= len(names):
        raise DataError(
            f"{path}: the mask has the shape {masks.shape} and values up to {masks.max()}",
            expected=f"the shape {header.shape[:3]} of {source} and at most {len(names)} for {', '.join(names)}",
            code="DATA-012",
        )
    highdicom = library("highdicom")
    with quiet():
        measures = _measures(header)
        images = Linked(_bare_slices(header, measures), np.arange(masks.shape[2]), 1)
        if link:
            images = read_linked(source, thickness=measures[0].SliceThickness)
        segmentation = highdicom.seg.Segmentation(
            source_images=images.datasets,
            pixel_array=masks.transpose(2, 1, 0)[images.numbers].astype(np.uint8 if len(names) < 256 else np.uint16),
            segmentation_type="BINARY",
            segment_descriptions=[_description(number, name, origin) for number, name in enumerate(names, start=1)],
            series_instance_uid=_random_uid(),
            series_number=images.series_number,
            sop_instance_uid=_random_uid(),
            instance_number=1,
            manufacturer="sfumato",
            manufacturer_model_name="sfumato",
            software_versions=version("sfumato"),
            device_serial_number="none",
            content_label="SEGMENTATION",
            content_description=None if origin is None else DESCRIPTION[origin.kind],
            content_creator_name="sfumato",
            omit_empty_frames=False,
            pixel_measures=measures,
        )
        segmentation.SeriesDescription = "sfumato" if origin is None else f"{INTENT[origin.kind]} (sfumato)"
        if not link:
            _forget_sources(segmentation)
        file = io.BytesIO()
        segmentation.save_as(file)
    write_atomic(path, file.getvalue(), sync=False)


def _forget_sources(segmentation: Any) -> None:
    """Take out the references to the bare slices, which no archive has."""
    del segmentation.ReferencedSeriesSequence, segmentation.SourceImageSequence
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence


def _random_uid() -> str:
    return str(library("pydicom.uid").generate_uid(prefix=None))


def _bare_slices(header: VolumeHeader, measures: Any) -> list[Any]:
    """Slices with a geometry and nothing else, for highdicom to take positions from."""
    pydicom = library("pydicom")
    columns, rows, count = header.shape[:3]
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ header.affine
    shared = pydicom.Dataset()
    for keyword in PATIENT:
        setattr(shared, keyword, "")
    shared.StudyInstanceUID, shared.SeriesInstanceUID, shared.FrameOfReferenceUID = (_random_uid() for _ in range(3))
    shared.SOPClassUID, shared.Modality = pydicom.uid.CTImageStorage, "OT"
    shared.SpecificCharacterSet, shared.Rows, shared.Columns = "ISO_IR 192", rows, columns
    directions = lps[:3, :2] / np.linalg.norm(lps[:3, :2], axis=0)
    shared.ImageOrientationPatient = _decimals(directions.T.reshape(-1))
    shared.PixelSpacing, shared.SliceThickness = measures[0].PixelSpacing, measures[0].SliceThickness
    slices = []
    for number in range(count):
        bare = pydicom.Dataset()
        bare.update(shared)
        bare.SOPInstanceUID = _random_uid()
        bare.ImagePositionPatient = _decimals(lps[:3] @ [0, 0, number, 1])
        slices.append(bare)
    return slices


def _measures(header: VolumeHeader) -> Any:
    across, down, between = (float(step) for step in np.linalg.norm(header.affine[:3, :3], axis=0))
    spacing = _decimals([down, across])
    return library("highdicom").PixelMeasuresSequence(spacing, *_decimals([between, between]))


def _decimals(numbers: Sequence[float] | np.ndarray) -> list[Any]:
    """Numbers as DICOM writes them, in 16 characters."""
    return [library("pydicom.valuerep").DSfloat(round(float(number), 10), auto_format=True) for number in numbers]


def _description(number: int, name: str, origin: Origin | None) -> Any:
    """A segment drawn by a program, of which nothing is said but its name and the model's."""
    said = {} if origin is None else {"Model": origin.model, "Recipe": origin.recipe, **origin.facts}
    parameters = {key: value.replace(",", ";") for key, value in said.items()}  # commas part them
    highdicom, codes = library("highdicom"), library("pydicom.sr.codedict").codes
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=visible(name).replace("\\", "/")[:64],  # a backslash parts values
        segmented_property_category=codes.SCT.Tissue,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="sfumato",
            version=version("sfumato"),
            family=codes.DCM.ArtificialIntelligence,
            parameters=parameters or None,
        ),
    )
