"""Texts beside images that are not read by themselves, and how what they say can be used.

A `.txt` may be anything, so it is a table only where a person names it. Where it names the images, that is told.
"""

import re
from collections.abc import Iterator, Sequence

from sfumato.data.formats.locator import Locator
from sfumato.data.source.listing import SourceFile
from sfumato.files import open_file
from sfumato.shortage import raise_shortage

_BEGINNING = 2**16
"""Bytes of a text that are looked at."""

_SHEETS = (".xlsx", ".xls", ".ods")
_PACKED = (".csv.gz", ".tsv.gz", ".csv.zip")
_SHOWN = 3
"""Spreadsheets, or packed tables, that a line names."""

_FIRST = re.compile(rb"^\s*\"?([^\s,;\"]+)", re.MULTILINE)
"""The first word of each line."""


def about_texts(others: Sequence[SourceFile], images: Sequence[SourceFile]) -> Iterator[str]:
    """Notes about JSON and text files, tables of one image each and spreadsheets among those that are no images.

    Args:
        others: files that are no images.
        images: the images.
    """
    texts = [entry for entry in others if entry.name.lower().endswith(".txt")]
    stems = {entry.stem for entry in images}
    each = [entry for entry in texts if entry.stem in stems]
    for kind, count in (("JSON", sum(entry.name.lower().endswith(".json") for entry in others)), ("text", len(each))):
        if count > 1:
            yield (
                f"what {count} {kind} files say is not read; to use it, write a CSV table with the columns image and "
                "label (and patient, ...) beside the images"
            )
    tables = [entry for entry in others if entry.name.lower().endswith((".csv", ".tsv"))]
    named = [entry for entry in tables if not stems.isdisjoint(_beginnings(entry.stem))]
    if len(named) > 1 and len(named) == len(tables):
        yield (
            f"tables called after images, of points or measurements in these, are not read: {len(named)} "
            f"({named[0].name} ...); masks are pictures or label volumes in which each pixel has its class: to use "
            "them, draw them into such and give that folder with --masks"
        )
    if sheets := [entry.name for entry in others if entry.name.lower().endswith(_SHEETS)]:
        yield (
            f"spreadsheets are not read ({', '.join(sheets[:_SHOWN])}): a sheet about the images, saved as CSV (UTF-8) "
            "beside them, is, or wherever it lies with --labels FILE.csv"
        )
    if packed := [entry.name for entry in others if entry.name.lower().endswith(_PACKED)]:
        yield (
            f"packed tables are not read ({', '.join(packed[:_SHOWN])}): unpacked beside the images they are, where "
            "they name these, or with --labels FILE.csv"
        )
    if len(texts) == 1 and not each and _names_images(texts[0], {*stems, *(entry.name for entry in images)}):
        yield f"{texts[0].name} names the images and is not read by itself; if it says their classes: --labels FILE"


def _beginnings(stem: str) -> Iterator[str]:
    """What a name may continue: its parts before each underscore."""
    return (stem[: found.start()] for found in re.finditer("_", stem))


def _names_images(entry: SourceFile, names: set[str]) -> bool:
    """Whether most lines of a text begin with an image."""
    target = Locator.parse(entry.locator)
    if target.member:
        return False
    try:
        with open_file(target.path) as file:
            words = _FIRST.findall(file.read(_BEGINNING))
    except OSError as error:
        raise_shortage(error, reading=target.path)
        return False
    return 2 * sum(word.decode(errors="replace").rpartition("/")[2] in names for word in words) > len(words)
