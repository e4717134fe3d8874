"""DICOM files, series and segmentations as volumes; nothing of the patient leaves through here.

A series is addressed by one of its files: the first by natural name in its folder. It is made of the files of that
folder with the same series UID, sorted by position along the normal of their planes, whatever their names. A file with
several frames, a segmentation, and an image of which no position is known (X-ray) are volumes by themselves.

    dicom_file     opens a file          dicom_pixels   its numbers
    dicom_facts    what it is            dicom_places   from places of slices to a regular grid
    dicom_frames   its frames            dicom_seg      segmentations
    contours       RTSTRUCT, which needs the images that it was drawn on
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from sfumato.data.formats.dicom.aside import apart
from sfumato.data.formats.dicom.contours import contours_header
from sfumato.data.formats.dicom.facts import DicomFacts, hidden, read_facts
from sfumato.data.formats.dicom.file import guarded, is_dicom, read_dataset
from sfumato.data.formats.dicom.frames import Frame
from sfumato.data.formats.dicom.phases import Phases, phases_of
from sfumato.data.formats.dicom.pixels import image_encoding, inverts, read_values, stored_range, value_type
from sfumato.data.formats.dicom.places import MISSING, Slices, image_slices, places, segment_slices
from sfumato.data.formats.dicom.seg import read_segments, segment_header
from sfumato.data.formats.dicom.structures import CONTOURS
from sfumato.data.formats.endings import DICOM, VOLUMES
from sfumato.data.formats.volume import Volume, VolumeHeader
from sfumato.data.order import natural
from sfumato.errors import DataError, listed, raise_together

_SUFFIXES = VOLUMES[DICOM]

PATIENT_TAGS = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientAddress",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientComments",
    "PatientTelephoneNumbers",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyDescription",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "DeviceSerialNumber",
    "ImageComments",
)
SCREENSHOTS = ("US", "SC", "OT", "XC", "ES")
"""Modalities whose images often have text in their pixels."""

_FEW = 8
"""Values that the slices of a mask have at most, where some of them are not stored."""

_GAPS = "its slices have gaps, and few values, as masks have: what is not stored is empty"

_Kind = Literal["image", "label", "skipped"]


class Listed(NamedTuple):
    """A volume among the files of a folder, or files that hold none.

    Attributes:
        path: the file that stands for the volume: the first by natural name.
        files: all its files, by natural name.
        header: of the volume; None for what is skipped, and for contours whose images are not among the files.
        kind: "label" for segmentations and contours; "skipped" for files without an image, of one kind each.
        notes: what a person should know.
    """

    path: Path
    files: tuple[Path, ...]
    header: VolumeHeader | None
    kind: _Kind
    notes: tuple[str, ...] = ()


def list_volumes(folder_files: Sequence[Path]) -> list[Listed]:
    """The volumes among some DICOM files, by natural name; each file is read once, without pixels.

    Args:
        folder_files: files of one or several folders. Give the images together with their segmentations: what a
            segmentation was drawn on (`Header.reference`) is looked for among these files.

    Raises:
        DataError: files are no DICOM, damaged or not understood, or series are no volumes; all are listed.
    """
    problems: list[DataError] = []
    facts = []
    for path in sorted(folder_files, key=_by_name):
        try:
            facts.append(read_facts(path))
        except DataError as error:
            problems.append(error)
    groups, aside = apart(_grouped([fact for fact in facts if fact.encoding is not None]))
    volumes = []
    for files in groups:
        try:
            volumes.append((files, _header(files)))
        except DataError as error:
            problems.append(error)
    drawn = list[Listed]()
    for fact in facts:
        if fact.segmentation == CONTOURS and fact.segments:
            try:
                drawn.append(_contours(fact, volumes))
            except DataError as error:
                problems.append(error)
    raise_together(problems)
    groups = [files for files, _ in volumes]
    left = [
        Listed(facts[0].path, tuple(fact.path for fact in facts), None, "skipped", (note,)) for facts, note in aside
    ]
    return [_listed(files, header, groups) for files, header in volumes] + drawn + left + list(_skipped(facts))


def _by_name(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    return natural(str(path)), str(path)


def _grouped(facts: Sequence[DicomFacts]) -> list[list[DicomFacts]]:
    """The files of each volume."""
    groups: dict[tuple[Path, str, bool], list[DicomFacts]] = defaultdict(list)
    for fact in facts:
        key = (fact.path.parent, fact.series, fact.localizer) if fact.is_slice else (fact.path, "", fact.localizer)
        groups[key].append(fact)
    return [files for group in groups.values() for files in _of_one_size(group)]


def _of_one_size(files: list[DicomFacts]) -> list[list[DicomFacts]]:
    """A series, or each of its files by itself where no two have one size: a part of an image and its mask (NBIA)."""
    sizes = {(fact.encoding.rows, fact.encoding.columns) for fact in files if fact.encoding is not None}
    return [[fact] for fact in files] if len(sizes) == len(files) else [files]


def _listed(files: Sequence[DicomFacts], header: VolumeHeader, groups: Sequence[Sequence[DicomFacts]]) -> Listed:
    if header.label:
        header = header._replace(reference=tuple(_drawn_on(files[0], groups)))
    paths = tuple(fact.path for fact in files)
    return Listed(paths[0], paths, header, "label" if header.label else "image", header.notes)


def _contours(facts: DicomFacts, volumes: Sequence[tuple[list[DicomFacts], VolumeHeader]]) -> Listed:
    """Contours, with the header that they have on their images."""
    reference = tuple(_drawn_on(facts, [files for files, _ in volumes]))
    if not reference:
        return Listed(facts.path, (facts.path,), None, "label")
    (image, whole), *_ = [(files[0], header) for files, header in volumes if files[0].path == reference[0]]
    header = contours_header(facts, whole, image.space)._replace(reference=reference)
    return Listed(facts.path, (facts.path,), header, "label", header.notes)


def _drawn_on(segmentation: DicomFacts, groups: Sequence[Sequence[DicomFacts]]) -> Iterator[Path]:
    """The volumes that a segmentation refers to: by their files, else their series, else the space they lie in."""
    images = [files for files in groups if files[0].segmentation is None]
    exact = [files for files in images if any(fact.instance in segmentation.refers for fact in files)]
    named = exact or [files for files in images if files[0].series in segmentation.refers]
    if not segmentation.refers and segmentation.space:  # nothing but the space in which it lies
        within = [files for files in images if files[0].space == segmentation.space]
        named = within if len(within) == 1 else []
    for files in named:
        yield files[0].path


def _skipped(facts: Sequence[DicomFacts]) -> Iterator[Listed]:
    """Files without an image, counted by what they are."""
    kinds: dict[str, list[Path]] = defaultdict(list)
    for fact in facts:
        if fact.encoding is None and not (fact.segmentation == CONTOURS and fact.segments):
            kinds[fact.sop].append(fact.path)
    for sop, paths in sorted(kinds.items()):
        note = f"files without an image, left out: {len(paths)} ({sop}, such as {paths[0].name})"
        yield Listed(paths[0], tuple(paths), None, "skipped", (note,))


def read_header(path: Path) -> VolumeHeader:
    """See `sfumato.data.formats.scan.read_header`; of a series, all headers are read."""
    return _header(_series(path))


def read_volume(path: Path) -> Volume:
    """See `sfumato.data.formats.scan.read_volume`."""
    files = _series(path)
    if files[0].segmentation is not None:
        return read_segments(files[0])
    phases = phases_of(files)
    volumes = [_read_phase(phase, dtype=_value_type(files, phases)) for phase in phases.files]
    if len(volumes) == 1:
        return volumes[0]
    return Volume(voxels=np.stack([volume.voxels for volume in volumes], axis=-1), affine=volumes[0].affine)


def _read_phase(files: Sequence[DicomFacts], *, dtype: np.dtype) -> Volume:
    """A volume of one value for each voxel."""
    slices = _slices(files)
    order = [files[number] for number in np.argsort(slices.numbers)] if len(files) > 1 else files
    values = read_values(list(order), dtype=dtype)
    if len(files) == 1:
        values = values[np.argsort(slices.numbers)]
    if slices.depth > len(values):
        planes = np.zeros((slices.depth, *values.shape[1:]), values.dtype)
        planes[np.sort(slices.numbers)] = values
        values = planes
    return Volume(voxels=np.moveaxis(values, (0, 2), (2, 0)), affine=slices.affine)


def slices_in_order(path: Path) -> tuple[list[Path], Int[np.ndarray, " n"]]:
    """The files of an image from its first slice to its last, and the number of the slice that each frame is.

    Of a series of several phases, those of the first.
    """
    files = phases_of(_series(path)).files[0]
    numbers = _slices(files).numbers
    if len(files) == 1:
        return [files[0].path], numbers
    return [files[number].path for number in np.argsort(numbers)], np.arange(len(files))


def is_uneven(path: Path) -> bool:
    """Whether slices of an image lie a little beside equal distances, by no more than is taken as even."""
    return bool(_slices(phases_of(_series(path)).files[0]).notes)


def _series(path: Path) -> list[DicomFacts]:
    """The files of the volume that a file belongs to, by natural name."""
    facts = read_facts(path)
    image_encoding(facts)
    if not facts.is_slice:
        return [facts]
    beside = [other for other in path.parent.iterdir() if other.is_file() and not other.name.startswith(".")]
    names = sorted((other for other in beside if _is_candidate(other)), key=_by_name)
    found = [read_facts(other) for other in names]
    series = [
        other
        for other in found
        if other.encoding is not None
        and other.is_slice
        and (other.series, other.localizer) == (facts.series, facts.localizer)
    ]
    return next(files for files in _of_one_size(series) if facts in files)


def _is_candidate(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIXES) or is_dicom(path)


def _header(files: Sequence[DicomFacts]) -> VolumeHeader:
    if files[0].segmentation is not None:
        return segment_header(files[0])._replace(notes=files[0].notes)
    phases, encoding, one = phases_of(files), image_encoding(files[0]), _as_one(files)
    slices, *_ = [_slices(phase) for phase in phases.files]
    colours = (3,) if encoding.samples == 3 or encoding.photometric == "PALETTE COLOR" else ()
    return VolumeHeader(
        shape=(encoding.columns, encoding.rows, slices.depth, *colours, *_components(phases)),
        dtype=_value_type(files, phases),
        affine=slices.affine,
        modality=one.modality,
        notes=(*_counted_notes(files), *slices.notes, *_about_phases(phases)),
        window=_window(one),
        colours=bool(colours),
        called_mask=files[0].called_mask,
        space=hidden(files[0].space) if files[0].space else None,
        measured=_is_measured(files[0].frames[0], slices.depth),
    )


def _is_measured(frame: Frame, depth: int) -> bool:
    """Whether the files say how far voxels lie apart: the frames of a film often lack a place and a distance."""
    if frame.spacing is None:
        return False
    return depth == 1 or frame.position is not None or frame.distance is not None


def _value_type(files: Sequence[DicomFacts], phases: Phases) -> np.dtype:
    """The type of the values; of several phases that of numbers, for three of 8 bits would be colours."""
    found = value_type(_as_one(files))
    return np.dtype(np.int16) if phases.tag and found == np.uint8 else found


def _components(phases: Phases) -> tuple[int, ...]:
    return (len(phases.files),) if phases.tag else ()


def _about_phases(phases: Phases) -> Iterator[str]:
    if phases.tag:
        yield f"each slice is there {len(phases.files)} times: components by the order of {phases.tag}, counted from 0"


def _as_one(files: Sequence[DicomFacts]) -> DicomFacts:
    """A series as if it were one file with all its frames."""
    return files[0]._replace(frames=tuple(frame for fact in files for frame in fact.frames))


def _slices(files: Sequence[DicomFacts]) -> Slices:
    first = image_encoding(files[0])
    differing = [str(fact.path) for fact in files if _layout(fact) != _layout(files[0])]
    if differing:
        raise DataError(
            f"{files[0].path} is {first.columns} x {first.rows} pixels, {first.photometric}; other slices of its "
            f"series differ:\n{listed(differing)}",
            expected="slices of one size and kind",
            remedy="put each series in a folder of its own",
            code="DATA-043",
        )
    found, said = [place for fact in files for place in places(fact)], files[0].frames[0].distance
    try:
        return image_slices(found, distance=said or 1.0)
    except DataError as error:
        if error.code != MISSING or not _have_few_values(files):
            raise
        return segment_slices(found, distance=said)._replace(notes=(_GAPS,))


def _have_few_values(files: Sequence[DicomFacts]) -> bool:
    """Whether the slices of a series show what masks show; of a scan, the first one is looked at."""
    values = np.empty(0)
    for fact in files:
        values = np.union1d(values, read_values([fact], dtype=value_type(fact)))
        if len(values) > _FEW:
            return False
    return True


def _layout(facts: DicomFacts) -> tuple[int, int, int, str]:
    encoding = image_encoding(facts)
    return encoding.rows, encoding.columns, encoding.samples, encoding.photometric.partition("_")[0]


def _window(facts: DicomFacts) -> tuple[float, float] | None:
    """The window that all frames share."""
    window = facts.frames[0].window
    if window is None or any(frame.window != window for frame in facts.frames):
        return None
    encoding = image_encoding(facts)
    if inverts(encoding, facts.frames[0]):
        turned = sum(stored_range(encoding))
        return turned - window[1], turned - window[0]
    return window


def _counted_notes(files: Sequence[DicomFacts]) -> Iterator[str]:
    counts: Mapping[str, int] = {
        note: sum(note in fact.notes for fact in files) for fact in files for note in fact.notes
    }
    for note, count in counts.items():
        yield note if len(files) == 1 else f"{count} of {len(files)} slices: {note}"


def risks(path: Path) -> tuple[str, ...]:
    """What in a file may tell who the patient is, without saying it.

    Args:
        path: a DICOM file; of a series, one stands for all.

    Raises:
        DataError: it is no DICOM file or damaged.
    """
    dataset = read_dataset(path, None)
    with guarded(path, "its tags cannot be read"):
        found = [keyword for keyword in PATIENT_TAGS if keyword in dataset and dataset.get_item(keyword).value]
        tags = dataset.keys()
        private = sum(tag.is_private for tag in tags)
        burned, visible = dataset.get("BurnedInAnnotation"), dataset.get("RecognizableVisualFeatures")
        risky = dataset.get("Modality") in SCREENSHOTS or "Secondary Capture" in read_facts(path).sop
    return tuple(
        text
        for present, text in (
            (found, f"patient tags are present ({', '.join(found)})"),
            (private, f"{private} private tags are present, whose content nobody can judge"),
            (burned == "YES", "burned-in annotation is declared: there is text in the pixels"),
            (
                burned != "YES" and burned != "NO" and risky,
                "ultrasound or secondary capture: text may be burned into the pixels",
            ),
            (visible == "YES", "the face or body may be recognised"),
        )
        if present
    )
