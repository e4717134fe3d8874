"""What lies below a folder or in a ZIP archive: one entry per file, in natural order, hidden files counted.

An entry knows two things: the locator under which the file is read, and its path below the source. All that a layout
says is said by that path, so folders and archives are understood by the same rules.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.image import SUFFIXES
from sfumato.data.formats.scan import is_volume
from sfumato.data.order import natural
from sfumato.errors import DataError

ARRAYS = (".npy", ".npz")
TABLES = (".csv", ".tsv", ".txt")
IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
ENDING = re.compile(r"(?:\.nii\.gz|\.(?!\d+$)[^.]*)$", re.IGNORECASE)
"""What ends a name; a number does not (DICOM files are often called 1.2.840.113)."""


class Entry(NamedTuple):
    """A file of a source.

    Attributes:
        locator: where it is read: an absolute path, or `archive.zip::member`.
        parts: its path below the source, the name last.
    """

    locator: str
    parts: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.parts[-1]

    @property
    def stem(self) -> str:
        """The name without its ending; `.nii.gz` is one ending."""
        return ENDING.sub("", self.name) or self.name

    @property
    def where(self) -> str:
        """The path below the source, for people."""
        return "/".join(self.parts)


class Listing(NamedTuple):
    """Files in natural order, and how many hidden files and folders were passed over."""

    entries: list[Entry]
    hidden: int


def files_below(folder: Path) -> Listing:
    """All files below a folder.

    Raises:
        DataError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}", code="DATA-001") from error

    root = str(folder.absolute())
    entries, hidden = list[Entry](), 0
    for place, folders, names in os.walk(root, onerror=refuse):
        shown = [name for name in folders if not is_hidden(name)]
        hidden += sum(map(is_hidden, names)) + len(folders) - len(shown)
        folders[:] = shown
        above = Path(place[len(root) :]).parts[1:]
        entries += [Entry(f"{place}{os.sep}{name}", (*above, name)) for name in names if not is_hidden(name)]
    return Listing(in_order(entries), hidden)


def members_below(archive: str, names: Iterable[str]) -> Listing:
    """The members of a ZIP archive; a backslash separates folders too, as some programs of Windows write it."""
    entries, hidden = list[Entry](), 0
    for name in names:
        parts = tuple(re.split(r"[/\\]+", name))
        if any(map(is_hidden, parts)):
            hidden += 1
        else:
            entries.append(Entry(f"{archive}::{name}", parts))
    return Listing(in_order(entries), hidden)


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Entries by their paths, 2 before 10."""
    return sorted(entries, key=lambda entry: natural(entry.where))


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one that systems leave behind."""
    return name.startswith(".") or name.lower() in IGNORED


def is_picture(entry: Entry) -> bool:
    """Whether an entry is named like an image file."""
    return os.path.splitext(entry.name)[1].lower() in SUFFIXES  # noqa: PTH122 - a Path for each of 100,000 files is slow


def is_array(entry: Entry) -> bool:
    """Whether an entry is named like an array of NumPy."""
    return entry.name.lower().endswith(ARRAYS)


def is_scan(entry: Entry) -> bool:
    """Whether an entry is a volume (NIfTI, NRRD, MHA, DICOM); those inside of an archive are not read."""
    return "::" not in entry.locator and is_volume(Path(entry.locator))


def divided(entries: Sequence[Entry], wanted: Callable[[Entry], bool]) -> tuple[list[Entry], list[Entry]]:
    """Those that are wanted, and the others."""
    chosen, others = list[Entry](), list[Entry]()
    for entry in entries:
        (chosen if wanted(entry) else others).append(entry)
    return chosen, others


def left_out(hidden: int, others: Sequence[Entry], *, what: str = "images") -> list[str]:
    """Notes about files that are not used."""
    notes = [f"hidden files or folders passed over: {hidden}"] if hidden else []
    if others:
        names = ", ".join(entry.name for entry in others[:5]) + (" ..." if len(others) > 5 else "")
        notes.append(f"files that are no {what}, not used: {len(others)} ({names})")
    return notes
