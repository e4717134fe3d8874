"""What most files of a folder are: pictures, volumes or arrays; and what is to be said where they are none of these."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.image import IMAGE_SUFFIXES
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.listing import Listing, SourceFile, divided, is_array, is_picture_file, is_scan
from sfumato.data.source.matching.byhand import fitting_images
from sfumato.data.source.tables.which_table import read_for
from sfumato.data.source.unread import MATLAB, told_inside
from sfumato.data.source.volumes.pictured import are_previews, told_previews
from sfumato.errors import DataError

_KINDS = {"images": is_picture_file, "volumes": is_scan, "arrays": is_array}
"""What the files of a folder may be; the kind that most are of decides, the first where two are equal."""


class MainKind(NamedTuple):
    """What most files of a folder are.

    Attributes:
        kind: "images", "volumes" or "arrays".
        files: of this kind.
        others: all others that are not told yet.
        notes: on those that are.
    """

    kind: str
    files: list[SourceFile]
    others: list[SourceFile]
    notes: tuple[str, ...] = ()


def is_of_a_kind(entry: SourceFile) -> bool:
    """Whether a file may be an image or a mask: a picture, a volume or an array."""
    return any(is_of_kind(entry) for is_of_kind in _KINDS.values())


def main_kind(source: Path, listing: Listing, hints: ReadOptions) -> MainKind:
    """What most files of a folder are.

    Files that fit a person's pattern decide; pictures beside volumes are previews of these.

    Raises:
        DataError: there is nothing that could be an image.
    """
    every = [MainKind(kind, *divided(listing.entries, is_of_kind)) for kind, is_of_kind in _KINDS.items()]
    meant = [len(fitting_images(each.files, hints.images)) for each in every]
    pictures, volumes, _ = every
    if any(meant):
        main = every[meant.index(max(meant))]
    else:
        main = max(every, key=lambda each: len(each.files))
        if main is pictures and are_previews(pictures.files, volumes.files):
            others = [entry for entry in volumes.others if not is_picture_file(entry)]
            return MainKind("volumes", volumes.files, others, (told_previews(pictures.files),))
    if not main.files:
        raise _no_images(source, main.others)
    return main


def _no_images(source: Path, others: Sequence[SourceFile]) -> DataError:
    """The error about a folder without images, with the endings of what it holds instead."""
    held = _held(others)
    if held:
        remedy = "write them as one of these, such as PNG or NPZ (image and mask in each)"
    else:
        remedy = "give the folder that holds them (sub-folders are searched)"
    return DataError(
        f"{source} holds no images{held}",
        expected=f"files ending in {', '.join(sorted(IMAGE_SUFFIXES))}, volumes, or NPZ files",
        remedy=remedy,
        code="DATA-002",
    )


def _held(others: Sequence[SourceFile]) -> str:
    """The endings of files that are no images, and what lies in a MATLAB file among them; empty where none has one."""
    endings = Counter[str]()
    for entry in others:
        suffixes = Path(entry.name).suffixes
        if suffixes:
            endings["".join(suffixes[-2:]).lower()] += 1
    held = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(5))
    of_matlab = [entry for entry in others if entry.name.lower().endswith(MATLAB)]
    inside = told_inside(of_matlab[0]) if of_matlab else ""
    if inside:
        held += f" ({inside})"
    return f", but files of other forms: {held}" if held else ""


def refuse_table_alone(source: Path, listing: Listing, hints: ReadOptions) -> None:
    """A folder with a table and no images: its images lie elsewhere, where only a table that a person names leads.

    Raises:
        DataError: it is one.
    """
    tables = [entry for entry in listing.entries if entry.name.lower().endswith((".csv", ".tsv"))]
    if len(tables) != 1 or any(map(is_of_a_kind, listing.entries)):
        return
    path = Path(tables[0].locator)
    read_for(path, [], hints)  # what is wrong with the table comes first
    raise DataError(
        f"{source} holds no images, but the table {path.name}",
        expected="images below the folder: a table that nobody named leads to no other",
        remedy=f"give the table itself, and its paths are followed: {path}",
        code="DATA-002",
    )
