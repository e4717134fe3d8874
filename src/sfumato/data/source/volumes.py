"""Folders of volumes: which are images and which labels, and one case for each of their planes.

Volumes are arranged like pictures (`source.layout`), and a word such as `seg` or `label` counts wherever it stands in a
name: `t2_seg-manual` belongs to the volume whose name it continues. What a DICOM segmentation was drawn on, it says
itself; of several that were drawn on one image, the names of their labels tell classes (`source.several`).

All volumes of a source are cut along one axis: the one that most of them have as that of the thickest slices. An image
over time whose mask has as many frames is read frame by frame (`source.cine`); several values of a voxel that share a
mask are channels (`source.components`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.formats.dicom.structures import CONTOURS
from sfumato.data.formats.joined import ON, MaskPart, joined_name, mask_parts
from sfumato.data.formats.laid import Laid, lay_mask
from sfumato.data.formats.scan import read_header
from sfumato.data.formats.volume import Axis, VolumeHeader, count_planes, thickest_axis
from sfumato.data.manifest import Case
from sfumato.data.source import cine, components
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.gridded import check_channels
from sfumato.data.source.layout import Arranged, match_masks
from sfumato.data.source.listing import SourceFile, divided
from sfumato.data.source.named import AS_STORED, Numbered, foreground_names, one_numbering
from sfumato.data.source.persons import look_for_persons
from sfumato.data.source.retold import retold
from sfumato.data.source.scans import FILES, list_scans
from sfumato.data.source.words import without_mask_words
from sfumato.errors import DataError, listed, raise_together

IN_TIME = re.compile(r"(?:^|[ _.-])(?:4d|(?:half[ _-]?)?sequence|seq|cine|movie|video|all[ _-]?frames)$", re.IGNORECASE)
"""How names of volumes end that hold all points in time."""

_SHOWN = 10
"""Remarks on volumes that are told; the others are counted."""

NO_HEADERS: Mapping[str, VolumeHeader] = MappingProxyType({})


class _Scan(NamedTuple):
    """A case whose files are volumes.

    Attributes:
        case: its files.
        header: of the image.
        masks: headers of its masks.
        laid: how these lie on it.
        components: which values of a voxel are read, a channel each; all at once where there are none.
        stacked: along which axis its planes are channels of one image, where they are.
    """

    case: Case
    header: VolumeHeader
    masks: Mapping[str, VolumeHeader]
    laid: Mapping[str, Laid]
    components: Sequence[int] = ()
    stacked: Axis | None = None


def find_in_volumes(
    entries: Sequence[SourceFile], masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> DiscoveredDataset:
    """The planes of volumes.

    Raises:
        DataError: volumes without partner, with several labels of different meaning, with several components, on
            different grids, or damaged (all are listed).
    """
    apart = {entry.locator for entry in masks or ()}
    scans = list_scans([*entries, *(masks or ())])
    separate, images = divided(scans.entries, lambda entry: entry.locator in apart)
    drawn_on = {entry: scans.drawn_on[entry.locator] for entry in scans.entries if entry.locator in scans.drawn_on}
    if masks is not None:  # what was not drawn on one of the images may have the name of one
        drawn_on = {mask: image for mask, image in drawn_on.items() if image}
    rest = None if masks is None else [entry for entry in separate if entry not in drawn_on]
    said = hints.images is not None or hints.masks is not None
    images, notes = (images, []) if said else _without_series_in_time(images)
    again = retold({} if said or hints.is_said_of_masks or hints.images_only else drawn_on, scans.headers)
    drawn_on = {mask: image for mask, image in drawn_on.items() if mask not in again.contours}
    images, notes = [entry for entry in images if entry not in again.contours], [*notes, *again.notes]
    labels = {
        mask: frozenset(foreground_names(scans.headers[mask]).values())
        for mask in scans.drawn_on
        if mask in scans.headers
    }
    arranged = match_masks(images, masks=rest, known=drawn_on, hints=hints, anywhere=True, labels=labels)
    return cut_volumes(arranged._replace(notes=[*arranged.notes, *scans.notes, *notes]), hints, headers=scans.headers)


def _without_series_in_time(entries: list[SourceFile]) -> tuple[list[SourceFile], list[str]]:
    """Volumes without those of all points in time (`p1_4d`) where some of these (`p1_frame01`) lie beside them."""
    single = {entry.parts[:-1] for entry in entries if not _is_in_time(entry)}
    whole = [entry for entry in entries if entry.parts[:-1] in single and _is_in_time(entry)]
    if not whole:
        return entries, []
    note = (
        f"volumes of all points in time beside single ones, not used: {len(whole)} ({whole[0].where} ...); --images "
        "and --masks with a pattern name other files"
    )
    return [entry for entry in entries if entry not in set(whole)], [note]


def _is_in_time(entry: SourceFile) -> bool:
    """Whether a volume, or the image of a mask, is called one of all points in time."""
    return any(IN_TIME.search(stem) for stem in (entry.stem, *(way.stem for way in without_mask_words(entry.stem))))


def cut_volumes(
    arranged: Arranged,
    hints: ReadOptions,
    *,
    form: str = "volumes",
    headers: Mapping[str, VolumeHeader] = NO_HEADERS,
    channels: int = 0,
) -> DiscoveredDataset:
    """Turn cases that name volumes into cases that name planes.

    Args:
        arranged: the cases of volumes.
        hints: what the files leave open.
        form: what the source was taken for.
        headers: those that are known already, by locator.
        channels: how many channels of an image the source names; 0 where it does not.

    Raises:
        DataError: as for `find_in_volumes`.
    """
    frame = hints.component if isinstance(hints.component, int) else None
    scans, frames, problems = list[_Scan](), list[cine.Frames](), list[DataError]()
    for case in arranged.cases:
        try:
            scan = _scan(case, hints, headers, channels)
            if cine.are_frames(scan.header, scan.masks):
                frames.append(cine.frames_of(case.image, scan.masks, frame))
                scans += _by_frames(scan, frames[-1], alone=frame is not None)
            else:
                scans.append(scan)
        except DataError as error:
            problems.append(error)
    raise_together(problems)
    if not scans:
        raise _nothing_drawn(arranged.cases)
    if form == "volumes" and hints.images is None:
        _refuse_masks_as_images(scans)
    numbered = AS_STORED if arranged.mask_names else _numbered(scans, hints)
    scans = [_with_values(scan, numbered) for scan in scans]
    axis = _common_axis(scans) if hints.slice_axis == "auto" else hints.slice_axis
    by_folder = form == "volumes" and not hints.class_level
    scans, said = _patients(scans) if by_folder else (scans, [])
    cases = [plane for scan in scans for plane in _planes(scan, axis)]
    told = [
        *([] if frame is not None else cine.cine_notes(frames)),
        *(_told_channels(scans) if hints.component is None else []),
    ]
    notes = [*arranged.notes, *said, *numbered.notes, *told]
    notes += _notes(scans, cases, axis, chosen=hints.slice_axis != "auto")
    found = arranged._replace(cases=cases, notes=notes).found(form)
    return found._replace(
        modality=_modality(scans), mask_names=arranged.mask_names or numbered.names or _mask_names(scans)
    )


def _numbered(scans: Sequence[_Scan], hints: ReadOptions) -> Numbered:
    return one_numbering([header for scan in scans for header in scan.masks.values()], hints)


def _with_values(scan: _Scan, numbered: Numbered) -> _Scan:
    """A case whose masks have the values of the set."""
    if not numbered.names:
        return scan
    laid = {mask: laid._replace(values=numbered.values(scan.masks[mask])) for mask, laid in scan.laid.items()}
    return scan._replace(laid=laid)


def _told_channels(scans: Sequence[_Scan]) -> list[str]:
    once = {scan.case.image: scan for scan in scans}.values()
    values = [len(scan.components) for scan in once if len(scan.components) > 1]
    return components.component_notes(values, sum(scan.stacked is not None for scan in once))


def _scan(case: Case, hints: ReadOptions, headers: Mapping[str, VolumeHeader], named: int) -> _Scan:
    """The headers of a case, which must lie on one grid."""

    def header(locator: str) -> VolumeHeader:
        return headers.get(locator) or _own_header(Path(case.image), Path(locator))

    image, *channels = (header(locator) for locator in (case.image, *case.channels))
    drawn = [part.locator for mask in case.masks for part in mask_parts(mask)]
    masks = {locator: header(locator) for locator in drawn}
    over_time = cine.are_frames(image, masks)
    said = 0 if over_time and not isinstance(hints.component, int) else hints.component
    check_channels({case.image: image, **dict(zip(case.channels, channels, strict=True))}, masks)
    files = zip((case.image, *case.channels), (image, *channels), strict=True)
    values, *others = (components.taken(locator, found, masks, said, named) for locator, found in files)
    if any(len(other) != len(values) for other in others):
        raise _other_components(case, image, channels)
    if not over_time:
        for locator, found in masks.items():
            _check_mask(locator, found, case.image, image)
    stacked = None if channels else components.channels_along(image, masks.values(), hints.component)
    if stacked:
        return _Scan(case, image, masks, dict.fromkeys(masks, Laid()), stacked=stacked)
    laid = {locator: _laid(Path(case.image), Path(locator), found) for locator, found in masks.items()}
    return _Scan(case, image, masks, laid, values)


def _other_components(case: Case, image: VolumeHeader, channels: Sequence[VolumeHeader]) -> DataError:
    shapes = [" x ".join(map(str, header.shape)) for header in (image, *channels)]
    files = [f"{locator}: {shape}" for locator, shape in zip((case.image, *case.channels), shapes, strict=True)]
    return DataError(
        f"{case.id} has files of one and of several components:\n{listed(files)}",
        expected="as many values per voxel in each file of an image",
        remedy="choose one with --component, or save each channel as a file of its own",
        code="DATA-063",
    )


def _by_frames(scan: _Scan, frames: cine.Frames, *, alone: bool) -> list[_Scan]:
    """A scan for each frame, or the one that a person chose, which keeps its name."""
    case, digits = scan.case, max(2, len(str(frames.total - 1)))
    return [
        scan._replace(
            components=(frame,),
            case=case if alone else replace(case, id=f"{case.id}_t{frame:0{digits}d}", patient=case.patient or case.id),
        )
        for frame in frames.drawn
    ]


def _nothing_drawn(cases: Sequence[Case]) -> DataError:
    return DataError(
        f"no frame of a mask shows anything, such as {cases[0].masks[0]}",
        expected="volumes over time with masks on some of their frames",
        remedy="export the masks again; an empty frame is taken with --component",
        code="DATA-063",
    )


def _refuse_masks_as_images(scans: Sequence[_Scan]) -> None:
    """Refuse masks that are stored as images, and were taken for such beside others: a generator would make them.

    Raises:
        DataError: some images, and not all, are described as masks.
    """
    images = {scan.case.image: scan.header.called_mask for scan in scans}
    drawn = [image for image, called in images.items() if called]
    if drawn and len(drawn) < len(images):
        raise DataError(
            f"{len(drawn)} of {len(images)} images are masks by the description of their series:\n{listed(drawn)}",
            expected="masks that belong to images by their names, or by a table",
            remedy="give the table that names the image and the mask of each row, as the source or with --labels; or "
            "say by their paths which are meant: --images 'PLACE/{id}/*.dcm' --masks 'PLACE/{id}/*.dcm'",
            code="DATA-068",
        )


def _own_header(image: Path, path: Path) -> VolumeHeader:
    """The header of a file; contours have one on their image only."""
    if path != image and not path.name.lower().endswith(FILES):
        from sfumato.data.formats.dicom.contours import header_on, is_structure_set

        if is_structure_set(path):
            return header_on(image, path)
    return read_header(path)


def _laid(image: Path, mask: Path, header: VolumeHeader) -> Laid:
    """How a mask lies on its image; what `_scan` has laid on it lies there."""
    return Laid() if _is_segmentation(header) or header.modality == CONTOURS else lay_mask(image, mask)


def _is_segmentation(header: VolumeHeader) -> bool:
    """Whether a volume is a DICOM segmentation, which may lack planes of its image."""
    return header.label and header.modality == "SEG"


def _check_mask(locator: str, header: VolumeHeader, image: str, behind: VolumeHeader) -> None:
    """Refuse a mask with several values per voxel which are no frames of its image."""
    if cine.components(header) > 1:
        count = behind.shape[3] if len(behind.shape) > 3 else 1
        raise DataError(
            f"{locator} has {header.shape[3]} components (shape {' x '.join(map(str, header.shape))}), its image "
            f"{image} has {count}",
            expected="a mask with one value per voxel, or with a frame for each frame of its image",
            remedy="save it with one number per voxel, the class; or take it out of the folder if it is no mask",
            code="DATA-063",
        )


def _patients(scans: list[_Scan]) -> tuple[list[_Scan], list[str]]:
    """Folders that hold one volume each are no classes: they are patients. So are numbers of which most hold one."""
    labels = [label for label, _ in {(scan.case.label, scan.case.image) for scan in scans}]
    folders = Counter(label for label in labels if label is not None)
    ones = sum(count == 1 for count in folders.values())
    if len(labels) < 2 or folders.total() < len(labels):
        return scans, []
    if ones < len(folders) and (2 * ones <= len(folders) or not look_for_persons(folders.elements()).doubtful):
        return scans, []
    named = [scan._replace(case=replace(scan.case, label=None, patient=scan.case.label)) for scan in scans]
    each = "one volume each" if ones == len(folders) else "one volume each, as most of them have,"
    return named, [f"folders with {each} are no classes: {len(folders)}"]


def _common_axis(scans: Sequence[_Scan]) -> Axis:
    return Counter(thickest_axis(scan.header) for scan in scans).most_common(1)[0][0]


def _planes(scan: _Scan, axis: Axis) -> list[Case]:
    case = scan.case
    parts = [f"/{component}" for component in scan.components] or [""]
    if scan.stacked:
        numbers = range(count_planes(scan.header, scan.stacked))
        image, *channels = (f"{case.image}::{scan.stacked}/{number}" for number in numbers)
        return [replace(case, image=image, channels=tuple(channels))]
    count = count_planes(scan.header, axis)
    alone = not any(header.modality in ("SEG", CONTOURS) for header in scan.masks.values())
    alone = alone and not any(laid.codes or laid.box or laid.values for laid in scan.laid.values())
    if 1 in scan.header.shape[:3] and not scan.components and alone:
        return [case]
    offsets = {mask: _offset(case.image, mask, found, axis) for mask, found in scan.masks.items()}
    digits = max(3, len(str(count - 1)))
    files = [(file, part) for file in (case.image, *case.channels) for part in parts]
    return [
        replace(
            case,
            id=f"{case.id}_{number:0{digits}d}",
            image=f"{case.image}::{axis}/{number}{parts[0]}",
            channels=tuple(f"{file}::{axis}/{number}{part}" for file, part in files[1:]),
            masks=tuple(_at(scan, mask, (axis, number), offsets) for mask in case.masks),
            volume=case.id,
            patient=case.patient or case.id,
        )
        for number in range(count)
    ]


def _at(scan: _Scan, mask: str, plane: tuple[Axis, int], offsets: Mapping[str, int]) -> str:
    """The planes of a mask's files that lie on a plane of the image; contours are followed by it."""
    axis, number = plane
    parts = list[MaskPart]()
    for role, locator in mask_parts(mask):
        frame = scan.components[0] if len(scan.masks[locator].shape) > 3 else None
        parts.append(MaskPart(role, f"{locator}::{scan.laid[locator].member(axis, number - offsets[locator], frame)}"))
        if scan.masks[locator].modality == CONTOURS:
            parts.append(MaskPart(ON, scan.case.image))
    return joined_name(parts)


def _offset(image: str, mask: str, header: VolumeHeader, axis: Axis) -> int:
    """The number of the image's plane at which the first plane of a mask lies."""
    if not _is_segmentation(header):
        return 0
    from sfumato.data.formats.dicom.drawn import seg_offset

    return seg_offset(Path(image), Path(mask), axis)


def _notes(scans: Sequence[_Scan], cases: Sequence[Case], axis: Axis, *, chosen: bool) -> list[str]:
    notes = []
    if len(cases) > len(scans):
        files = {scan.case.image: scan for scan in scans}
        other = sum(thickest_axis(scan.header) != axis for scan in files.values())
        differing = f"; in {other} of them the slices along another axis are thicker" if other and not chosen else ""
        notes.append(f"volumes, cut into {axis} planes: {len(files)} ({len(cases)} planes){differing}")
    if labels := [scan.case.id for scan in scans if scan.header.label]:
        notes.append(f"volumes that say they hold labels, used as images: {len(labels)} ({', '.join(labels[:5])})")
    once = {scan.case.image: scan for scan in scans}.values()
    said = Counter(note for scan in once for header in (scan.header, *scan.masks.values()) for note in header.notes)
    said.update(laid.note for scan in once for laid in scan.laid.values() if laid.note)
    shown = [f"{note} ({count} volumes)" if count > 1 else note for note, count in said.most_common(_SHOWN)]
    return [
        *notes,
        *shown,
        *([f"... and {len(said) - _SHOWN} more remarks of this kind"] if len(said) > _SHOWN else []),
    ]


def _modality(scans: Iterable[_Scan]) -> str | None:
    """What made the volumes, where all that say so agree."""
    said = {scan.header.modality for scan in scans if scan.header.modality}
    return said.pop() if len(said) == 1 else None


def _mask_names(scans: Iterable[_Scan]) -> dict[int, str]:
    """Names of the labels, where the volumes that have them agree."""
    names: dict[int, set[str]] = defaultdict(set)
    for scan in scans:
        for header in scan.masks.values():
            for value, name in (header.names or {}).items():
                names[value].add(name)
    return {value: " or ".join(sorted(said)) for value, said in sorted(names.items())}
