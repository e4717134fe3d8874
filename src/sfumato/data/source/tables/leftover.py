"""What lies beside the files that a table names: images without a row, and what looks like masks that nobody named."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from sfumato.data.manifest import folded
from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.witness import have_few_values
from sfumato.data.source.patterns import told_files
from sfumato.wording import counted

_SHOWN = 5
"""Names in a note."""

_FOLDERS = 12
"""Where files lie in more folders, their pixels are not looked at."""


class Named(NamedTuple):
    """What tables name.

    Attributes:
        tables: the tables, in words.
        stems: the names of their images, without endings.
        mask_columns: the columns of their masks.
    """

    tables: str
    stems: Collection[str]
    mask_columns: Sequence[str]


def about_left(images: Sequence[SourceFile], masks: Sequence[SourceFile], named: Named, *, look: bool) -> Iterator[str]:
    """Notes about files that tables do not name.

    Args:
        images: those that are not called masks; some may have few values, as masks have.
        masks: those that are, where the tables name others.
        named: what the tables name.
        look: whether masks are wanted, and pixels are looked at.
    """
    drawn = [*([masks] if masks else []), *_like_masks(images)] if look else []
    for alike in drawn:
        looks = counted(len(alike), "file that looks like a mask", "files that look like masks")
        yield f"{looks}, not used: {told_files(alike)}; {_way(alike, named)}"
    known = {entry.locator for alike in drawn for entry in alike}
    others = [entry.name for entry in images if entry.locator not in known]
    if others:
        shown = ", ".join(others[:_SHOWN]) + (" ..." if len(others) > _SHOWN else "")
        yield f"files without a row in {named.tables}, left out: {len(others)} ({shown})"


def _like_masks(left: Sequence[SourceFile]) -> Iterator[list[SourceFile]]:
    """The files of each folder whose files have few values."""
    folders = defaultdict[PathParts, list[SourceFile]](list)
    for entry in left:
        folders[entry.parts[:-1]].append(entry)
    if len(folders) <= _FOLDERS:
        yield from (inside for inside in folders.values() if have_few_values(inside))


def _way(masks: Sequence[SourceFile], named: Named) -> str:
    """How masks can be used: by their folder where they are called like images, else by a column."""
    if named.mask_columns:
        column = ", ".join(named.mask_columns)
        return f"the table names others in the column {column}: with a table without it, --masks takes their folder"
    stems = {folded(stem) for stem in named.stems}
    if 2 * sum(folded(entry.stem) in stems for entry in masks) > len(masks):
        return f"--masks {quote(str(Path(masks[0].locator).parent))} uses them"
    return "name them in a column mask of the table"
