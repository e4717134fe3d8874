"""Contours beside images: outlines that an annotation tool keeps as points. They are found and named, not read.

    COCO          .json       annotations with a segmentation
    LabelMe       .json       shapes with points; .xml: objects with a polygon
    CVAT          .xml        images with polygons or masks
    QuPath        .geojson    features that are polygons

Who has them and no masks would train without what was drawn, so that is an error where no mask is found.
"""

import re
from collections.abc import Sequence

from sfumato.data.formats.locator import Locator
from sfumato.data.source.listing import Entry
from sfumato.errors import DataError, listed
from sfumato.files import open_file
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

LOOKED_AT = 8
"""Files of a kind that are looked at: tools write all alike."""

BEGINNING = 2**22
"""Bytes of a file that are looked at: the points of a COCO file stand behind the list of all images."""

MARKS: dict[str, tuple[bytes, ...]] = {
    "COCO": (rb'"annotations"\s*:', rb'"segmentation"\s*:\s*[\[{]\s*["\[\d]'),
    "LabelMe": (rb'"shapes"\s*:', rb'"points"\s*:\s*\[\s*\['),
    "GeoJSON": (rb'"geometry"\s*:', rb'"(?:Multi)?Polygon"'),
    "CVAT": (rb"<annotations>", rb"<(?:polygon|mask)\s[^>]*label="),
    "LabelMe, XML": (rb"<annotation>", rb"<polygon>.*?<pt>"),
}
"""What the files of a tool have, all of it."""

ENDINGS = (".json", ".geojson", ".xml")


def refuse_contours(others: Sequence[Entry]) -> None:
    """Refuse a source whose images have contours and no masks.

    Args:
        others: files of the source that are no images.

    Raises:
        DataError: there are contours.
    """
    found: dict[str, list[Entry]] = {}
    for ending in ENDINGS:
        files = [entry for entry in others if entry.name.lower().endswith(ending)]
        kinds = [kind for entry in files[:LOOKED_AT] if (kind := _kind(Locator.parse(entry.locator)))]
        if kinds:
            found.setdefault(kinds[0], []).extend(files)
    if not found:
        return
    told = ", ".join(f"{counted(len(files), 'file')} of {kind}" for kind, files in found.items())
    names = [entry.where for files in found.values() for entry in files]
    raise DataError(
        f"contours found, not read: {told}, and no mask:\n{listed(names)}",
        expected="masks as pictures or label volumes beside the images",
        remedy="export masks with the tool that drew them (CVAT: Segmentation mask; LabelMe: labelme_export_json; "
        "COCO: annToMask of pycocotools; QuPath: exportMask); or move these files elsewhere to go on without masks",
        code="DATA-069",
    )


def _kind(target: Locator) -> str | None:
    """Which tool's contours a file holds; files within archives are not looked at."""
    if target.member:
        return None
    try:
        with open_file(target.path) as file:
            content = file.read(BEGINNING)
    except OSError as error:
        raise_shortage(error, reading=target.path)
        return None
    return next((kind for kind, marks in MARKS.items() if _has(content, marks)), None)


def _has(content: bytes, marks: Sequence[bytes]) -> bool:
    return all(re.search(mark, content, re.DOTALL) for mark in marks)
