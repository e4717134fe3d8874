"""Folders of volumes: which are images and which labels, and one case for each of their planes.

Volumes are arranged like pictures (`source.layout`), and a word such as `seg` or `label` counts wherever it stands in a
name: `t2_seg-manual` belongs to the volume whose name it continues. What a DICOM segmentation was drawn on, it says
itself; of several that were drawn on one image, the names of their labels tell classes (`source.several`).

All volumes of a source are cut along one axis: the one that most of them have as that of the thickest slices.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.dicom.structures import CONTOURS
from sfumato.data.formats.joined import ON, Part, joined, parts_of
from sfumato.data.formats.laid import Laid, check_same_grid, lay_mask
from sfumato.data.formats.scan import read_header
from sfumato.data.formats.volume import Axis, Header, count_planes, thickest_axis
from sfumato.data.manifest import Case
from sfumato.data.source.found import Found, Hints
from sfumato.data.source.layout import Arranged, arrange
from sfumato.data.source.listing import Entry, divided
from sfumato.data.source.named import AS_STORED, Numbered, named, one_numbering
from sfumato.data.source.scans import FILES, list_scans
from sfumato.errors import DataError, raise_together

IN_TIME = re.compile(r"(?:^|[ _.-])4d$", re.IGNORECASE)

SHOWN = 10
"""Remarks on volumes that are told; the others are counted."""

NO_HEADERS: Mapping[str, Header] = MappingProxyType({})


class Scan(NamedTuple):
    """A case whose files are volumes, and what their headers say."""

    case: Case
    header: Header
    masks: Mapping[str, Header]
    laid: Mapping[str, Laid]


def find_in_volumes(entries: Sequence[Entry], masks: Sequence[Entry] | None, hints: Hints) -> Found:
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
    images, notes = _without_series_in_time(images)
    labels = {mask: frozenset(named(scans.headers[mask]).values()) for mask in scans.drawn_on if mask in scans.headers}
    arranged = arrange(images, masks=rest, known=drawn_on, hints=hints, anywhere=True, labels=labels)
    return cut(arranged._replace(notes=[*arranged.notes, *scans.notes, *notes]), hints, headers=scans.headers)


def _without_series_in_time(entries: list[Entry]) -> tuple[list[Entry], list[str]]:
    """Volumes without those of all points in time (`p1_4d`) where some of these (`p1_frame01`) lie beside them."""
    folders = Counter(entry.parts[:-1] for entry in entries)
    whole = [entry for entry in entries if IN_TIME.search(entry.stem) and folders[entry.parts[:-1]] > 1]
    if not whole or len(whole) == len(entries):
        return entries, []
    note = f"volumes of all points in time beside single ones, not used: {len(whole)} ({whole[0].where} ...)"
    return [entry for entry in entries if entry not in set(whole)], [note]


def cut(
    arranged: Arranged, hints: Hints, *, form: str = "volumes", headers: Mapping[str, Header] = NO_HEADERS
) -> Found:
    """Turn cases that name volumes into cases that name planes.

    Args:
        arranged: the cases of volumes.
        hints: what the files leave open.
        form: what the source was taken for.
        headers: those that are known already, by locator.

    Raises:
        DataError: as for `find_in_volumes`.
    """
    scans, problems = list[Scan](), list[DataError]()
    for case in arranged.cases:
        try:
            scans.append(_scan(case, hints, headers))
        except DataError as error:
            problems.append(error)
    raise_together(problems)
    numbered = AS_STORED if arranged.mask_names else _numbered(scans, hints)
    scans = [_with_values(scan, numbered) for scan in scans]
    axis = _common_axis(scans) if hints.slice_axis == "auto" else hints.slice_axis
    by_folder = form == "volumes" and not hints.class_level
    scans, said = _patients(scans) if by_folder else (scans, [])
    cases = [plane for scan in scans for plane in _planes(scan, axis, hints.component)]
    notes = [*arranged.notes, *said, *numbered.notes, *_notes(scans, cases, axis, chosen=hints.slice_axis != "auto")]
    found = arranged._replace(cases=cases, notes=notes).found(form)
    return found._replace(
        modality=_modality(scans), mask_names=arranged.mask_names or numbered.names or _mask_names(scans)
    )


def _numbered(scans: Sequence[Scan], hints: Hints) -> Numbered:
    return one_numbering([header for scan in scans for header in scan.masks.values()], hints)


def _with_values(scan: Scan, numbered: Numbered) -> Scan:
    """A case whose masks have the values of the set."""
    if not numbered.names:
        return scan
    laid = {mask: laid._replace(values=numbered.values(scan.masks[mask])) for mask, laid in scan.laid.items()}
    return scan._replace(laid=laid)


def _scan(case: Case, hints: Hints, headers: Mapping[str, Header]) -> Scan:
    """The headers of a case, which must lie on one grid."""

    def header(locator: str) -> Header:
        return headers.get(locator) or _own_header(Path(case.image), Path(locator))

    image, *channels = (header(locator) for locator in (case.image, *case.channels))
    for locator, found in zip((case.image, *case.channels), (image, *channels), strict=True):
        _check_components(locator, found, hints.component)
    drawn = [part.locator for mask in case.masks for part in parts_of(mask)]
    masks = {locator: header(locator) for locator in drawn}
    for locator, found in masks.items():
        _check_components(locator, found, None)
    for channel in case.channels:
        check_same_grid(Path(case.image), Path(channel))
    laid = {locator: _laid(Path(case.image), Path(locator), found) for locator, found in masks.items()}
    return Scan(case, image, masks, laid)


def _own_header(image: Path, path: Path) -> Header:
    """The header of a file; contours have one on their image only."""
    if path != image and not path.name.lower().endswith(FILES):
        from sfumato.data.formats.dicom.contours import header_on, is_structure_set

        if is_structure_set(path):
            return header_on(image, path)
    return read_header(path)


def _laid(image: Path, mask: Path, header: Header) -> Laid:
    """How a mask lies on its image; what `_scan` has laid on it lies there."""
    return Laid() if _is_segmentation(header) or header.modality == CONTOURS else lay_mask(image, mask)


def _is_segmentation(header: Header) -> bool:
    """Whether a volume is a DICOM segmentation, which may lack planes of its image."""
    return header.label and header.modality == "SEG"


def _are_colours(header: Header) -> bool:
    return header.shape[3:] == (3,) and (header.colours or header.dtype == np.uint8)


def _check_components(locator: str, header: Header, component: int | None) -> None:
    count = header.shape[3] if len(header.shape) > 3 else 1
    if (count > 1 and component is None and not _are_colours(header)) or (component or 0) >= count:
        asked = "" if component is None else f"; number {component} was asked for, counted from 0"
        raise DataError(
            f"{locator} has {count} components (shape {' x '.join(map(str, header.shape))}){asked}",
            expected="a volume with one value per voxel",
            remedy="choose one with --component, or take the file out of the folder if it is no image (a warp field)",
            code="DATA-063",
        )


def _patients(scans: list[Scan]) -> tuple[list[Scan], list[str]]:
    """Folders that hold one volume each are no classes: they are patients."""
    folders = Counter(scan.case.label for scan in scans)
    if len(scans) < 2 or None in folders or max(folders.values()) > 1:
        return scans, []
    named = [scan._replace(case=replace(scan.case, label=None, patient=scan.case.label)) for scan in scans]
    return named, [f"folders with one volume each are no classes: {len(scans)}"]


def _common_axis(scans: Sequence[Scan]) -> Axis:
    return Counter(thickest_axis(scan.header) for scan in scans).most_common(1)[0][0]


def _planes(scan: Scan, axis: Axis, component: int | None) -> list[Case]:
    case, several = scan.case, len(scan.header.shape) > 3
    part = f"/{component}" if several and component is not None else ""
    count = count_planes(scan.header, axis)
    alone = not any(header.modality in ("SEG", CONTOURS) for header in scan.masks.values())
    alone = alone and not any(laid.codes or laid.box or laid.values for laid in scan.laid.values())
    if 1 in scan.header.shape[:3] and not part and alone:
        return [case]
    offsets = {mask: _offset(case.image, mask, found, axis) for mask, found in scan.masks.items()}
    digits = max(3, len(str(count - 1)))
    return [
        replace(
            case,
            id=f"{case.id}_{number:0{digits}d}",
            image=f"{case.image}::{axis}/{number}{part}",
            channels=tuple(f"{channel}::{axis}/{number}{part}" for channel in case.channels),
            masks=tuple(_at(scan, mask, (axis, number), offsets) for mask in case.masks),
            volume=case.id,
            patient=case.patient or case.id,
        )
        for number in range(count)
    ]


def _at(scan: Scan, mask: str, plane: tuple[Axis, int], offsets: Mapping[str, int]) -> str:
    """The planes of a mask's files that lie on a plane of the image; contours are followed by it."""
    axis, number = plane
    parts = list[Part]()
    for role, locator in parts_of(mask):
        parts.append(Part(role, f"{locator}::{scan.laid[locator].member(axis, number - offsets[locator])}"))
        if scan.masks[locator].modality == CONTOURS:
            parts.append(Part(ON, scan.case.image))
    return joined(parts)


def _offset(image: str, mask: str, header: Header, axis: Axis) -> int:
    """The number of the image's plane at which the first plane of a mask lies."""
    if not _is_segmentation(header):
        return 0
    from sfumato.data.formats.dicom.drawn import seg_offset

    return seg_offset(Path(image), Path(mask), axis)


def _notes(scans: Sequence[Scan], cases: Sequence[Case], axis: Axis, *, chosen: bool) -> list[str]:
    notes = []
    if len(cases) > len(scans):
        other = sum(thickest_axis(scan.header) != axis for scan in scans)
        differing = f"; in {other} of them the slices along another axis are thicker" if other and not chosen else ""
        notes.append(f"volumes, cut into {axis} planes: {len(scans)} ({len(cases)} planes){differing}")
    if labels := [scan.case.id for scan in scans if scan.header.label]:
        notes.append(f"volumes that say they hold labels, used as images: {len(labels)} ({', '.join(labels[:5])})")
    said = Counter(note for scan in scans for header in (scan.header, *scan.masks.values()) for note in header.notes)
    said.update(laid.note for scan in scans for laid in scan.laid.values() if laid.note)
    shown = [f"{note} ({count} volumes)" if count > 1 else note for note, count in said.most_common(SHOWN)]
    return [*notes, *shown, *([f"... and {len(said) - SHOWN} more remarks of this kind"] if len(said) > SHOWN else [])]


def _modality(scans: Iterable[Scan]) -> str | None:
    """What made the volumes, where all that say so agree."""
    said = {scan.header.modality for scan in scans if scan.header.modality}
    return said.pop() if len(said) == 1 else None


def _mask_names(scans: Iterable[Scan]) -> dict[int, str]:
    """Names of the labels, where the volumes that have them agree."""
    names: dict[int, set[str]] = defaultdict(set)
    for scan in scans:
        for header in scan.masks.values():
            for value, name in (header.names or {}).items():
                names[value].add(name)
    return {value: " or ".join(sorted(said)) for value, said in sorted(names.items())}
