"""Pictures beside volumes: masks of the slices of a DICOM series, and previews.

    DICOM_anon/*.dcm, Ground/*.png          a picture for each slice
    RAW/s1.hdr, s1_sag_66.gif               a picture called after a volume in its folder: a preview

Nothing in a picture says on which slice it was drawn, and from which end its folder counts, so it is not read. Left
alone the images would be without masks, or the masks would be taken for images; so that is refused. Previews are not
used, and told.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from sfumato.data.formats.scan import FILES
from sfumato.data.source.listing import SourceFile, divided, is_picture_file, is_scan
from sfumato.data.source.matching.witness import have_few_values
from sfumato.data.source.patterns import told_files
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_LEAST = 2
"""Slices of a series."""

ENDS = re.compile(r"[ _.-]|$")
"""Where the name of a volume may end in that of a picture."""

_Folder = tuple[str, ...]


def refuse_pictured(entries: Sequence[SourceFile]) -> None:
    """Refuse folders of pictures of few values beside folders of about as many DICOM slices.

    Raises:
        DataError: there are some (all are listed).
    """
    pictures, others = divided(entries, is_picture_file)
    if not pictures:
        return
    dicom = [entry for entry in others if not entry.name.lower().endswith(FILES) and is_scan(entry)]
    slices = Counter(entry.parts[:-1] for entry in dicom)
    drawn = Counter(entry.parts[:-1] for entry in pictures)
    beside = {folder: _series_beside(folder, count, slices) for folder, count in drawn.items()}
    pairs = {folder: series for folder, series in beside.items() if series is not None}
    if not pairs:
        return
    some = [entry for entry in pictures if entry.parts[:-1] in pairs]
    if not have_few_values(some):
        return
    shown = [
        f"{'/'.join(folder) or '.'}: {counted(drawn[folder], 'picture')} beside {counted(slices[series], 'slice')} in "
        f"{'/'.join(series) or '.'}"
        for folder, series in pairs.items()
    ]
    raise DataError(
        "masks as pictures beside DICOM series, not read, since nothing says which is of which slice:\n"
        f"{listed(shown)}",
        expected="a label volume, a DICOM segmentation or contours for each series",
        remedy="write the pictures of each series into one label volume of its grid beside it (mask.nii.gz in the "
        "folder above both), and take them out of the folder; without them, the series are images alone",
        code="DATA-069",
    )


def are_previews(pictures: Sequence[SourceFile], volumes: Sequence[SourceFile]) -> bool:
    """Whether most pictures are called after a volume in their folder, and a word or number behind."""
    names = defaultdict[_Folder, set[str]](set)
    for volume in volumes:
        names[volume.parts[:-1]].add(volume.stem)
    called = sum(
        any(picture.stem[: found.start()] in names[picture.parts[:-1]] for found in ENDS.finditer(picture.stem))
        for picture in pictures
        if picture.parts[:-1] in names
    )
    return 2 * called > len(pictures)


def told_previews(pictures: Sequence[SourceFile]) -> str:
    """A line about pictures beside volumes."""
    endings = Counter(PurePath(picture.name).suffix for picture in pictures)
    again = len({picture.name for picture in pictures}) < len(pictures)
    pattern = f"**/{'{id}/' * again}{{id}}{endings.most_common(1)[0][0]}"
    return (
        f"pictures beside volumes of their names, taken for previews of these and not used: {told_files(pictures)}. If "
        f"the pictures are meant: --images '{pattern}'"
    )


def _series_beside(folder: _Folder, count: int, slices: Mapping[_Folder, int]) -> _Folder | None:
    """The folder of a series in or beside that of pictures, for at least half of whose slices there is one."""
    for place, number in slices.items():
        if place[: max(0, len(folder) - 1)] == folder[:-1] and max(_LEAST, count) <= number <= 2 * count:
            return place
    return None
