"""Volumes among files: one entry for each, also where a volume is a DICOM series of many files.

A DICOM series is called after its folder if it is the only one there, and so is a mask on one of its slices. What a
DICOM segmentation was drawn on is known from the file, whatever the names say.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sfumato.data.formats.scan import FILES as FILES
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.source.listing import SourceFile, divided, in_order

if TYPE_CHECKING:
    from sfumato.data.formats.dicom.series import Listed


class Scans(NamedTuple):
    """The volumes among some files.

    Attributes:
        entries: one for each volume.
        headers: of the DICOM volumes, by locator.
        drawn_on: locators of segmentations with the locator of their image; "" where it is not among the files.
        notes: what a person should know, such as files that hold no image.
    """

    entries: list[SourceFile]
    headers: Mapping[str, VolumeHeader]
    drawn_on: Mapping[str, str]
    notes: list[str]


def list_scans(entries: Sequence[SourceFile]) -> Scans:
    """The volumes among the files of a source.

    Raises:
        DataError: DICOM files are damaged, or their series are no volumes (all are listed).
    """
    files, dicom = divided(entries, lambda entry: entry.name.lower().endswith(FILES))
    if not dicom:
        return Scans(list(entries), {}, {}, [])
    from sfumato.data.formats.dicom.series import list_volumes

    by_path = {Path(entry.locator): entry for entry in dicom}
    volumes = list_volumes(list(by_path))
    alone = _alone_in_folders(volumes)
    found, headers, drawn_on, notes = list[SourceFile](), dict[str, VolumeHeader](), dict[str, str](), list[str]()
    for volume in volumes:
        if volume.kind == "skipped":
            notes += volume.notes
            continue
        entry = by_path[volume.path]
        found.append(_named_by_folder(entry) if volume.path in alone else entry)
        if volume.header is not None:
            headers[entry.locator] = volume.header
        if volume.kind == "label":
            reference = volume.header.reference if volume.header is not None else ()
            drawn_on[entry.locator] = next(map(str, reference), "")
    return Scans(in_order([*files, *found]), headers, drawn_on, notes)


def _alone_in_folders(volumes: Sequence["Listed"]) -> set[Path]:
    """The series that are alone in their folder, and slices of the space of a series that are: masks may be such."""
    headers = {volume.path: volume.header for volume in volumes if volume.header is not None}
    series = {volume.path for volume in volumes if volume.path in headers and len(volume.files) > 1}
    spaces = {headers[path].space for path in series} - {None}
    taken = {path.parent for path in series}
    slices = {path for path, header in headers.items() if header.space in spaces and path.parent not in taken}
    count = Counter(path.parent for path in series | slices)
    return {path for path in series | slices if count[path.parent] == 1}


def _named_by_folder(entry: SourceFile) -> SourceFile:
    """An entry for a whole series, in the place of its folder."""
    return SourceFile(entry.locator, entry.parts[:-1] or (Path(entry.locator).parent.name,))
