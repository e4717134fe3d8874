"""What a DICOM file says of itself, without its pixels: what it is, how its numbers are stored, and its frames.

The UIDs that hold the files of a series together stay in memory; they are in no locator, message or output. Who the
patient is is remembered as hashes with a key that ends with the process: they tell whether two files are of one
patient, and nothing else.
"""

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from sfumato.data.formats.content import damaged
from sfumato.data.formats.dicom.file import DicomDataset, has_preamble, not_understood, quiet, read_dataset
from sfumato.data.formats.dicom.frames import FRAME_TAGS, SPACINGS, Frame, read_frames
from sfumato.data.formats.dicom.structures import CONTOURS, references, space, structure_regions, unclosed
from sfumato.data.formats.grid import MAX_VOXELS
from sfumato.errors import DataError, SfumatoError
from sfumato.shortage import raise_shortage

ENCODING_TAGS = (
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
)
PHASES = (
    "TemporalPositionIdentifier",
    "TriggerTime",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "AcquisitionNumber",
    "AcquisitionTime",
)
"""Tags that tell apart what lies at one place, those first that say it best."""

_TAGS = (
    *ENCODING_TAGS,
    *FRAME_TAGS,
    *PHASES,
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "TotalPixelMatrixColumns",
    "SegmentationType",
    "SegmentSequence",
    "ReferencedSeriesSequence",
    "SourceImageSequence",
    "ImageType",
    "FrameOfReferenceUID",
    "PatientID",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "ReferencedFrameOfReferenceSequence",
    "StructureSetROISequence",
    "ROIContourSequence",
    "SeriesDescription",
)
MASK = re.compile(r"\b(?:roi|binary|seg\w*|labels?|lesion|tumou?r|organ)[ _-]*masks?\b", re.IGNORECASE)
"""How series of masks are described that are stored as images; the mask of an angiography is none."""

MAX_FRAMES = 2**20
NO_IMAGES = ("RTDOSE",)
"""Modalities of files that have pixels, but no image."""

_NOBODY = {"", "0", "none", "null", "nan", "na", "n/a", "unknown", "anonymous", "anonymized", "anonymised", "anon", "-"}
"""What stands in the place of a patient's number where it was taken out."""

_KEY = secrets.token_bytes(32)


class Owner(NamedTuple):
    """Whose a file is, as hashes that mean nothing outside of this process; None where the file does not say it.

    Attributes:
        patient: of PatientID, in which case and spaces do not count.
        issuer: of IssuerOfPatientID, who gave that number.
        study: of StudyInstanceUID.
    """

    patient: bytes | None
    issuer: bytes | None
    study: bytes | None


class Encoding(NamedTuple):
    """How the numbers of an image are stored.

    Attributes:
        rows: height.
        columns: width.
        frame_count: number of frames.
        samples: numbers per pixel.
        photometric: what the numbers of a pixel are, such as "MONOCHROME2" or "RGB".
        allocated: bits that a number takes.
        stored: bits of them that count; 0 where the numbers are floats.
        signed: whether the numbers have a sign.
        padding: lowest and highest stored number of pixels outside of the image.
        table: whether a table, not a slope, turns stored numbers into values.
        syntax: UID of the transfer syntax.
    """

    rows: int
    columns: int
    frame_count: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    signed: bool
    padding: tuple[int, int] | None
    table: bool
    syntax: str


class DicomFacts(NamedTuple):
    """What a file says of itself.

    Attributes:
        path: the file.
        sop: name of its kind, such as "CT Image Storage".
        modality: such as "CT".
        instance: UID of the file; never shown.
        series: UID of its series; never shown.
        refers: UIDs of the files and series that it refers to; never shown.
        encoding: of its pixels; None where it has no image.
        frames: one per frame where they have functional groups, else one for all.
        segmentation: "BINARY", "LABELMAP" or "FRACTIONAL"; or `CONTOURS`.
        segments: numbers and labels of the segments, of contours those of `structures.closed_regions`.
        notes: what a person should know.
        owner: whose it is.
        localizer: whether it says that it is one (a scout, a topogram).
        study: UID of its study; never shown.
        space: UID of the frame of reference in which it lies; never shown.
        called_mask: whether its series is described as one of masks.
        phases: the numbers of `PHASES`; None where there is none.
    """

    path: Path
    sop: str
    modality: str | None
    instance: str
    series: str
    refers: frozenset[str]
    encoding: Encoding | None
    frames: tuple[Frame, ...]
    segmentation: str | None
    segments: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]
    owner: Owner
    localizer: bool = False
    study: str = ""
    space: str = ""
    called_mask: bool = False
    phases: tuple[float | None, ...] = (None,) * len(PHASES)

    @property
    def is_slice(self) -> bool:
        """Whether it is one slice of a series, not a volume or image by itself."""
        single = self.encoding is not None and self.encoding.frame_count == 1 and self.segmentation is None
        return single and self.frames[0].position is not None and self.frames[0].orientation is not None


def is_quantity(encoding: Encoding, frame: Frame) -> bool:
    """Whether values are physical (Hounsfield units, uptake), which only their display turns round."""
    return encoding.table or (frame.slope, frame.intercept) != (1, 0)


def read_facts(path: Path) -> DicomFacts:
    """What a file says of itself. The facts of many files are remembered.

    Raises:
        DataError: it is missing, no DICOM file, damaged, too large, or not understood.
    """
    try:
        return _read_facts(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise_shortage(error, reading=path)
        raise DataError(f"{path} cannot be read: {error.strerror}", code="DATA-001") from error


@lru_cache(maxsize=2**16)
def _read_facts(path: Path, _changed: int) -> DicomFacts:
    dataset = read_dataset(path, _TAGS)
    try:
        with quiet():
            return _facts(path, dataset)
    except SfumatoError:
        raise
    except Exception as error:  # the library converts values only now, and raises whatever it likes
        raise_shortage(error, reading=path)
        finding = f"a tag of its pixels or its geometry is missing or has no sensible value ({type(error).__name__})"
        raise not_understood(path, finding) from None


def _facts(path: Path, dataset: DicomDataset) -> DicomFacts:
    encoding = _encoding(path, dataset)
    contours = dataset.get("Modality") == CONTOURS
    segmentation = CONTOURS if contours else dataset.get("SegmentationType")
    _refuse_spacings(path, dataset)
    frames = tuple(read_frames(path, dataset, None if encoding is None else encoding.frame_count))
    return DicomFacts(
        path=path,
        sop=_sop_name(dataset),
        modality=str(dataset.get("Modality") or "") or None,
        instance=str(dataset.get("SOPInstanceUID", "")),
        series=str(dataset.get("SeriesInstanceUID", "")),
        refers=frozenset(_references(dataset)) - {""},
        encoding=encoding,
        frames=frames,
        segmentation=None if segmentation is None else str(segmentation),
        segments=tuple(structure_regions(dataset) if contours else _segments(dataset)),
        notes=(*_notes(path, encoding, frames), *_zero_spacings(dataset), *unclosed(dataset)),
        owner=Owner(*(_hidden(dataset, tag) for tag in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID"))),
        localizer="LOCALIZER" in _words(dataset.get("ImageType")),
        study=str(dataset.get("StudyInstanceUID", "")),
        space=space(dataset) if contours else str(dataset.get("FrameOfReferenceUID", "")),
        called_mask=MASK.search(str(dataset.get("SeriesDescription") or "")) is not None,
        phases=tuple(_number(dataset.get(tag)) for tag in PHASES),
    )


def _number(value: Any) -> float | None:
    """A number, also of a time of day; None of what is none."""
    try:
        return float(str(value))
    except ValueError:
        return None


def _segments(dataset: DicomDataset) -> Iterator[tuple[int, str]]:
    for item in dataset.get("SegmentSequence") or ():
        yield int(item.SegmentNumber), str(item.SegmentLabel)


def _words(value: Any) -> tuple[str, ...]:
    """The values of a tag that may have one, several or none."""
    return () if not value else (value,) if isinstance(value, str) else tuple(map(str, value))


def _hidden(dataset: DicomDataset, tag: str) -> bytes | None:
    """What a tag says, as a hash; None where it says nothing."""
    text = "".join(str(dataset.get(tag) or "").split()).casefold()
    return None if text in _NOBODY else hidden(text)


def hidden(text: str) -> bytes:
    """A hash of what is never shown, which means nothing outside of this process."""
    return hashlib.blake2b(text.encode(), key=_KEY, digest_size=16).digest()


def _sop_name(dataset: DicomDataset) -> str:
    uid = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
    return str(uid.name) if uid is not None and uid.name != str(uid) else "an unknown kind of object"


def _references(dataset: DicomDataset) -> Iterator[str]:
    for series in dataset.get("ReferencedSeriesSequence") or ():
        yield str(series.get("SeriesInstanceUID", ""))
        for instance in series.get("ReferencedInstanceSequence") or ():
            yield str(instance.get("ReferencedSOPInstanceUID", ""))
    for source in dataset.get("SourceImageSequence") or ():
        yield str(source.get("ReferencedSOPInstanceUID", ""))
    for frame in dataset.get("PerFrameFunctionalGroupsSequence") or ():
        for derivation in frame.get("DerivationImageSequence") or ():
            for source in derivation.get("SourceImageSequence") or ():
                yield str(source.get("ReferencedSOPInstanceUID", ""))
    yield from references(dataset)


def _encoding(path: Path, dataset: DicomDataset) -> Encoding | None:
    if dataset.get("Modality") in NO_IMAGES:
        return None
    if "Rows" not in dataset or "Columns" not in dataset:
        media = dataset.file_meta.get("MediaStorageSOPClassUID")  # the other one may be cut
        if "Image Storage" in _sop_name(dataset) or (media is not None and "Image Storage" in media.name):
            raise damaged(path, "it ends before the size of its image")
        return None
    encoding = Encoding(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        frame_count=int(dataset.get("NumberOfFrames") or 1),
        samples=int(dataset.get("SamplesPerPixel") or 1),
        photometric=str(dataset.get("PhotometricInterpretation") or "MONOCHROME2"),
        allocated=int(dataset.BitsAllocated),
        stored=int(dataset.get("BitsStored") or 0),
        signed=dataset.get("PixelRepresentation") == 1,
        padding=_padding(dataset),
        table=bool(dataset.get("ModalityLUTSequence")),
        syntax=_syntax(dataset),
    )
    _refuse_strange(path, encoding, dataset)
    return encoding


def _refuse_strange(path: Path, encoding: Encoding, dataset: DicomDataset) -> None:
    rows, columns, count, samples = encoding[:4]
    if min(rows, columns, count) < 1 or samples not in (1, 3) or encoding.stored > encoding.allocated:
        raise not_understood(path, f"{columns} x {rows} pixels, {count} frames, {samples} numbers per pixel")
    if rows * columns * count * samples > MAX_VOXELS or count > MAX_FRAMES:
        finding = f"{path} is too large: {columns} x {rows} pixels, {count} frames"
        raise DataError(finding, expected=f"at most {MAX_VOXELS:,} numbers in {MAX_FRAMES:,} frames", code="DATA-007")
    if dataset.get("HighBit", encoding.stored - 1) != encoding.stored - 1 and encoding.stored:
        raise not_understood(path, "its numbers do not end at the lowest bit (HighBit is not BitsStored - 1)")
    if "TotalPixelMatrixColumns" in dataset and count > 1:
        raise not_understood(path, "its frames are tiles of one large slide")


def _syntax(dataset: DicomDataset) -> str:
    """The transfer syntax; files without group 2 do not say it, but were read by it."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    plain = "1.2.840.10008.1.2" if dataset.original_encoding[0] else "1.2.840.10008.1.2.1"
    return str(named or plain)


def _padding(dataset: DicomDataset) -> tuple[int, int] | None:
    if dataset.get("PixelPaddingValue") is None or dataset.get("SamplesPerPixel", 1) != 1:
        return None
    first = int(dataset.PixelPaddingValue)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted(_as_stored(number, dataset) for number in (first, first if limit is None else int(limit)))
    return ends[0], ends[1]


def _as_stored(number: int, dataset: DicomDataset) -> int:
    """With the sign that the pixels have: writers often confuse the two kinds."""
    bits = int(dataset.BitsAllocated)
    number %= 2**bits
    return number - 2**bits if dataset.get("PixelRepresentation") == 1 and number >= 2 ** (bits - 1) else number


def _zero_spacings(dataset: DicomDataset) -> Iterator[str]:
    """Spacings that are there and say nothing."""
    for name in SPACINGS:
        value = dataset.get(name)
        if value and not any(value):
            yield f"its {name} is {_told(value)}, which is no size: passed over"


def _refuse_spacings(path: Path, dataset: DicomDataset) -> None:
    """Name the spacing that cannot be one, before all frames are read."""
    for name in SPACINGS:
        value = dataset.get(name)
        if value and any(value) and not min(value) > 0:
            raise not_understood(path, f"its {name} is {_told(value)}")


def _told(value: Sequence[float]) -> str:
    return "/".join(f"{float(number):g}" for number in value)


def _notes(path: Path, encoding: Encoding | None, frames: Sequence[Frame]) -> Iterator[str]:
    if not has_preamble(path):
        yield "it has no preamble (DICM at byte 128); read all the same"
    if encoding is not None and frames[0].spacing is None:
        yield "it has no pixel spacing; 1 mm is taken"
    if encoding is not None and encoding.photometric == "MONOCHROME1":
        kept = is_quantity(encoding, frames[0])
        yield f"MONOCHROME1: its values are {'quantities and stay' if kept else 'inverted, so that more is brighter'}"
