"""Masks as pictures of the slices of a DICOM series: `DICOM_anon/*.dcm` beside `Ground/*.png`, one for each slice.

Nothing in a picture says on which slice it was drawn, and from which end its folder counts, so it is not read. Left
alone the images would be without masks, or the masks would be taken for images; so that is refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from sfumato.data.formats.scan import FILES
from sfumato.data.source.listing import Entry, divided, is_picture, is_scan
from sfumato.data.source.witness import have_few_values
from sfumato.errors import DataError, listed
from sfumato.wording import counted

LEAST = 2
"""Slices of a series."""

Folder = tuple[str, ...]


def refuse_pictured(entries: Sequence[Entry]) -> None:
    """Refuse folders of pictures of few values beside folders of about as many DICOM slices.

    Raises:
        DataError: there are some (all are listed).
    """
    pictures, others = divided(entries, is_picture)
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


def _series_beside(folder: Folder, count: int, slices: Mapping[Folder, int]) -> Folder | None:
    """The folder of a series in or beside that of pictures, for at least half of whose slices there is one."""
    for place, number in slices.items():
        if place[: max(0, len(folder) - 1)] == folder[:-1] and max(LEAST, count) <= number <= 2 * count:
            return place
    return None
