"""Contours beside images: outlines that an annotation tool keeps as points.

    COCO          .json       annotations with a segmentation: polygons, runs
    LabelMe       .json       shapes with points
    CVAT          .xml        images with polygons or masks
    QuPath        .geojson    features that are polygons
    Aperio        .xml        layers with regions of vertices (ImageScope)
    others        .xml        LabelMe's, ASAP's, points within XML: found and named, not read

Boxes (Pascal VOC) are no outlines, which a note says.

They are looked for where no mask was found, and make one for each image. Who has outlines that are not read would train
without what was drawn, so that is an error.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.annotations.read import ANNOTATION_SUFFIXES, Outline, read_annotations
from sfumato.data.formats.annotations.shapes import Annotation, Annotations
from sfumato.data.formats.image import read_image
from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.data.order import natural
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.listing import SourceFile, is_picture_file
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.data.source.volumes.named import numbered_names
from sfumato.errors import DataError, listed
from sfumato.files import open_file
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

_LOOKED_AT = 8
"""Files of a kind that are looked at: tools write all alike."""

_BEGINNING = 2**22
"""Bytes of a file that are looked at: the points of a COCO file stand behind the list of all images."""

_MARKS: dict[str, tuple[bytes, ...]] = {
    "COCO": (rb'"annotations"\s*:', rb'"segmentation"\s*:\s*[\[{]\s*["\[\d]'),
    "LabelMe": (rb'"shapes"\s*:', rb'"points"\s*:\s*\[\s*\['),
    "GeoJSON": (rb'"geometry"\s*:', rb'"(?:Multi)?Polygon"'),
    "CVAT": (rb"<annotations>", rb"<(?:polygon|mask)\s[^>]*label="),
    "Aperio": (rb"<Annotations[\s>]", rb"<Region[\s>].*?<Vertex\s[^>]*X="),
    "LabelMe-XML": (rb"<annotation>", rb"<polygon>.*?<pt>"),
    "ASAP": (rb"<ASAP_Annotations>", rb"<Coordinate\s[^>]*X="),
    "points within XML": (rb"^\s*<", rb"\"points\"\s*:\s*\[\s*[\[{]"),
}
"""What the files of a tool have, all of it."""

NOTHING_DRAWN: dict[str, tuple[bytes, ...]] = {
    "LabelMe (empty)": (rb'"shapes"\s*:\s*\[\s*\]',),
    "COCO (empty)": (rb'"images"\s*:', rb'"annotations"\s*:\s*\[\s*\]'),
    "Aperio (empty)": (rb"<Annotations[\s>]", rb"<Regions\b"),
    "points within XML (empty)": (rb"^\s*<", rb"<svg>|<svg\s*/>"),
    "GeoJSON (empty)": (rb'"FeatureCollection"', rb'"features"\s*:\s*\[\s*\]'),
}
"""What they have for an image on which nothing is drawn."""

UNREAD = {"LabelMe-XML", "ASAP", "points within XML"}

BOXES = (rb"<annotation\b", rb"<bndbox>.*?<xmin>")
"""What a file of boxes has (Pascal VOC)."""


class _Of(NamedTuple):
    """What was drawn on an image, and where: the file, its number there and the classes of the file."""

    entry: SourceFile
    number: int
    drawn: Annotation
    labels: tuple[str, ...]


def with_outlines(
    found: DiscoveredDataset, images: Sequence[SourceFile], others: Sequence[SourceFile], root: Path, hints: ReadOptions
) -> DiscoveredDataset:
    """The cases of images without masks, with the outlines beside them as masks.

    Args:
        found: the cases.
        images: their files.
        others: files of the source that are no images.
        root: the folder of the source.
        hints: what the files leave open.

    Raises:
        DataError: outlines are not read, or do not belong to the images one by one.
    """
    files = _files(others)
    if not files:
        return found._replace(notes=(*found.notes, *_about_boxes(others)))
    if UNREAD & files.keys() or not all(is_picture_file(entry) for entry in images):
        raise _unread(files)
    entries = [entry for of_kind in files.values() for entry in of_kind]
    known = {entry: read_annotations(Path(entry.locator)) for entry in entries}
    owned = _owned(known, FileLookup(images, root))
    cases, unpaired = _paired(found.cases, owned, hints)
    labels = dict(enumerate(_labels(list(known.values())), start=1))
    numbered = numbered_names([labels], hints, by_name=True)
    named = numbered.names or labels
    values = {name: value for value, name in named.items()}
    drawn = tuple(replace(case, masks=(_mask(case, owned[case.image], values),)) for case in cases)
    told = _told(files, [owned[case.image].drawn for case in cases])
    left = [f"left out because they have no outlines, or no image: {len(unpaired)}"] if unpaired else []
    return found._replace(
        cases=drawn,
        mask_names={0: "background", **named},
        notes=(*found.notes, told, *numbered.notes, *left),
        unpaired=(*found.unpaired, *unpaired),
    )


def _files(others: Sequence[SourceFile]) -> dict[str, list[SourceFile]]:
    """The files with contours, by the tool that wrote them; those of an ending are looked at if one of the first is."""
    found: dict[str, list[SourceFile]] = {}
    for ending in ANNOTATION_SUFFIXES:
        files = [entry for entry in others if entry.name.lower().endswith(ending)]
        if not any(_kind(entry) for entry in files[:_LOOKED_AT]):
            continue
        for entry in files:
            if kind := _kind(entry, empty=True):
                found.setdefault(kind, []).append(entry)
    return found


def _about_boxes(others: Sequence[SourceFile]) -> Iterator[str]:
    """A note about files of boxes."""
    files = [entry for entry in others if entry.name.lower().endswith(".xml")]
    if any(_has(_beginning(entry), BOXES) for entry in files[:_LOOKED_AT]):
        yield f"boxes are no masks, and are not used: {counted(len(files), 'file')} of Pascal VOC"


def _labels(files: Sequence[Annotations]) -> list[str]:
    """The classes of a set: in the order of the files where these agree, else by name."""
    if all(one.labels == files[0].labels for one in files):
        return list(files[0].labels)
    return sorted({label for one in files for label in one.labels}, key=natural)


def _owned(known: Mapping[SourceFile, Annotations], files: FileLookup) -> dict[str, _Of]:
    """What was drawn on each image, by its locator; that of images that are not there by their names.

    Raises:
        DataError: several files draw on one image.
    """
    owned, twice = dict[str, _Of](), list[str]()
    for entry, found in known.items():
        for number, drawn in enumerate(found.drawn):
            locator = _image(entry, drawn, files) or drawn.names[-1]
            if locator in owned:
                twice.append(f"{locator}: {owned[locator].entry.where} and {entry.where}")
            owned[locator] = _Of(entry, number, drawn, found.labels)
    if twice:
        raise DataError(
            f"{counted(len(twice), 'image has', 'images have')} outlines in several places:\n{listed(twice)}",
            expected="one place for the outlines of an image",
            remedy="keep one of these files; several readers are read as masks that are pictures",
            code="DATA-011",
        )
    return owned


def _image(entry: SourceFile, drawn: Annotation, files: FileLookup) -> str | None:
    """The image that is meant: of a file for each image the one beside it, else by its name."""
    beside = ["/".join((*entry.parts[:-1], drawn.names[0]))] if len(drawn.names) > 1 or drawn.size is None else []
    for name in (*beside, *drawn.names):
        try:
            found = files.candidates(name)
        except DataError:  # it leads out of the folder
            continue
        if len(found) == 1:
            return found[0]
    return None


def _paired(cases: Sequence[Case], owned: Mapping[str, _Of], hints: ReadOptions) -> tuple[list[Case], list[str]]:
    """The cases with outlines, and what has no partner.

    Raises:
        DataError: something has no partner (all are listed).
    """
    images = {case.image for case in cases}
    bare = [image for image in images if image not in owned]
    orphans = [f"{one.entry.where}: {name}" for name, one in owned.items() if name not in images]
    kept = [case for case in cases if case.image in owned]
    if ((bare or orphans) and not hints.drop_unpaired) or not kept:
        raise DataError(
            f"{counted(len(bare), 'image has', 'images have')} no outlines, {len(orphans)} with outlines are not "
            f"there:\n{listed(sorted([*bare, *orphans]))}",
            expected="outlines for every image, if only an empty list",
            remedy="complete them" + (", or leave these out with --drop-unpaired" if kept else ""),
            code="DATA-010",
        )
    return kept, sorted([*bare, *orphans])


def _mask(case: Case, one: _Of, values: Mapping[str, int]) -> str:
    """The locator of a mask, with the values that the classes of its file have in the set."""
    height, width = one.drawn.size or _size(case, one)
    pairs = tuple((number, values[name]) for number, name in enumerate(one.labels, start=1) if name in values)
    return str(Locator(Path(one.entry.locator), str(Outline(one.number, (height, width), pairs or ((0, 0),)))))


def _size(case: Case, one: _Of) -> tuple[int, int]:
    """The size of an image whose outlines come without one.

    Raises:
        DataError: most of their corners lie outside of it, as those of a slide do on its thumbnail.
    """
    height, width = read_image(case.image).shape[:2]
    rings = [ring for shape in one.drawn.shapes for ring in shape.rings]
    corners = np.concatenate([np.zeros((0, 2)), *rings])
    outside = ((corners < -1) | (corners > (width, height))).any(1)
    if 2 * outside.sum() > len(corners):
        raise DataError(
            f"{one.entry.where}: {outside.sum()} of {len(corners)} corners lie outside of {case.image}, which is "
            f"{width} x {height} (width x height)",
            expected="outlines in pixels of their image",
            remedy="take the image on which they were drawn, in its full size",
            code="DATA-012",
        )
    return height, width


def _told(files: Mapping[str, Sequence[SourceFile]], drawn: Sequence[Annotation]) -> str:
    """What was read, with counts."""
    where = ", ".join(f"{counted(len(entries), 'file')} of {kind}" for kind, entries in files.items())
    objects = Counter(shape.label for one in drawn for shape in one.shapes)
    empty = sum(not one.shapes for one in drawn)
    return (
        f"outlines ({where}), read as masks: {counted(objects.total(), 'object')} of "
        f"{counted(len(objects), 'class', 'classes')} in {counted(len(drawn) - empty, 'image')}"
        f"{f', none in {empty}' if empty else ''}; pixels whose centres lie inside; where objects overlap, the smaller "
        "one counts"
    )


def _unread(files: Mapping[str, Sequence[SourceFile]]) -> DataError:
    told = ", ".join(f"{counted(len(entries), 'file')} of {kind}" for kind, entries in files.items())
    names = [entry.where for entries in files.values() for entry in entries]
    return DataError(
        f"contours found, not read: {told}, and no mask:\n{listed(names)}",
        expected="masks as pictures or label volumes beside the images",
        remedy="export masks with the tool that drew them (CVAT: Segmentation mask; LabelMe: labelme_export_json; "
        "COCO: annToMask of pycocotools; QuPath: exportMask); or move these files elsewhere to go on without masks",
        code="DATA-069",
    )


def _kind(entry: SourceFile, *, empty: bool = False) -> str | None:
    """Which tool's contours a file holds, also where it has none yet, if `empty`."""
    content = _beginning(entry)
    marks = _MARKS | NOTHING_DRAWN if empty else _MARKS
    return next((kind.partition(" (")[0] for kind, needed in marks.items() if _has(content, needed)), None)


def _beginning(entry: SourceFile) -> bytes:
    """The first bytes of a file; none of those within archives, and of what cannot be read."""
    target = Locator.parse(entry.locator)
    if target.member:
        return b""
    try:
        with open_file(target.path) as file:
            return file.read(_BEGINNING)
    except OSError as error:
        raise_shortage(error, reading=target.path)
        return b""


def _has(content: bytes, marks: Sequence[bytes]) -> bool:
    return all(re.search(mark, content, re.DOTALL) for mark in marks)
