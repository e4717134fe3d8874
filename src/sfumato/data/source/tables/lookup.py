"""Which file a table means: paths, names, and names without ending, in the spelling of any system.

A path is looked up below the folder first. A table that a person named is then followed wherever its paths lead; one
that was merely found stays below. Last, a path of another machine is the file with the longest tail in common, if one
file alone has it. Where none has, upper and lower case do not count, nor how accents are stored: the table may come
from a system that does not tell them apart. Where a table names no file at all, its cells may be beginnings of names.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from sfumato.data.formats.image import is_image_name
from sfumato.data.formats.scan import FILES, is_volume
from sfumato.data.manifest import folded
from sfumato.data.source.beginnings import by_beginning
from sfumato.data.source.listing import ARRAYS, ENDING, SourceFile, is_picture_file
from sfumato.data.source.table import bare
from sfumato.data.source.tables.numbered_images import by_number
from sfumato.errors import DataError
from sfumato.shortage import raise_shortage

UID = re.compile(r"\d+(?:\.\d+){3,}")
"""Folders that are called after a series or study of DICOM."""

_KEPT = 5
"""Last digits of a UID that stay in the names of folders."""

Spelling = Callable[[str], str]
"""What makes names equal: themselves, or themselves without case and ways to store accents."""


class FileLookup:
    """The files (or folders of DICOM files) that a table may name, found by whatever it calls them.

    Args:
        entries: the files that are known.
        root: the folder that they lie in.
        follow: the folder of the table, where a person named it: its paths may lead elsewhere.
        begins: whether beginnings of names mean files too (`source.beginnings`).
        numbers: whether numbers mean the files whose names end in them (`tables.numbered_images`).
    """

    def __init__(
        self,
        entries: Sequence[SourceFile],
        root: Path,
        *,
        follow: Path | None = None,
        begins: bool = False,
        numbers: bool = False,
    ) -> None:
        self.root = root.absolute().as_posix().rstrip("/") + "/"
        self.follow, self.known, self.begins = follow, len(entries), begins
        self._by_number = by_number(entries) if numbers else {}
        self.outside: dict[str, str] = {}
        self.by_path = {entry.where: entry.locator for entry in entries}
        self.by_path |= {folder: alone or self.root + folder for folder, alone in _folders(entries).items()}
        self.by_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for where, locator in self.by_path.items():
            name = bare(where)
            for key in {name, ENDING.sub("", name) or name}:
                self.by_name[folded(key)].append((where, locator))

    def __len__(self) -> int:
        """How many files are known."""
        return self.known

    def candidates(self, text: str) -> list[str]:
        """Locators of the files that a text may mean; one if all is well.

        Raises:
            DataError: the text leads out of the folder, and the table may not.
        """
        path = text.replace("\\", "/")
        path = path.removeprefix(self.root) if path.startswith("/") else path
        path = path.removeprefix("./")
        if path in self.by_path:
            return [self.by_path[path]]
        if led := self._elsewhere(text, path):
            return [led]
        found = self._by_tail(path) or self._in_series(path) or self._by_beginning(path) or self._numbered(path)
        if not found and self.follow is None and _leads_out(path):
            raise DataError(
                f"'{text}' lies outside the folder of the images, {self.root}",
                expected="file names below that folder, since nobody named this table",
                remedy="name the table on the command line, or write the names alone",
                code="DATA-017",
            )
        return found

    def _elsewhere(self, text: str, path: str) -> str | None:
        """The file at a path that leads out of what is known, where the table is followed."""
        if self.follow is None or "\0" in text or not text:
            return None
        for place in dict.fromkeys((self.follow / text, self.follow / path, Path(self.root) / path)):
            there = os.path.normpath(place)
            if there not in self.outside and _is_data(Path(there)):
                self.outside[there] = there
            if there in self.outside:
                return there
        return None

    def _by_tail(self, path: str) -> list[str]:
        """The files with the longest tail in common with a path: its folders from the last on, as far as they go."""
        parts = [part for part in re.split(r"/+", path) if part not in ("", ".", "..")]
        if not parts:
            return []
        named = self.by_name.get(folded(parts[-1]), [])
        for spelt in (str, folded):
            if called := [item for item in named if _is_called(bare(item[0]), parts[-1], spelt)]:
                return _longest(called, parts, spelt)
        return []

    def _in_series(self, path: str) -> list[str]:
        """The DICOM files in the folder of a path, where that is called after a series: programs name files anew.

        Where they name the folders of studies and series anew too, the files below the folder above these; of several
        series there that one whose folder ends as its UID does (NBIA).
        """
        *folders, name = path.split("/")
        uids = list(takewhile(UID.fullmatch, reversed(folders)))
        if not name.lower().endswith(".dcm") or not uids:
            return []
        if found := self._below.get(folded(uids[0])):
            return [locator for _, locator in found]
        above = folders[: len(folders) - len(uids)]
        found = self._below.get(folded(above[-1]), []) if above else []
        shortened = [one for one in found if bare(one[0].rpartition("/")[0]).endswith(uids[0][-_KEPT:])]
        return [locator for _, locator in shortened or found]

    def _by_beginning(self, path: str) -> list[str]:
        """The files whose names begin with that of a path, where beginnings count."""
        return self._begun.get(folded(bare(path)), []) if self.begins else []

    def _numbered(self, path: str) -> list[str]:
        """The files whose names end in a number, where numbers count."""
        return self._by_number.get(int(path), []) if self._by_number and path.isdecimal() else []

    @cached_property
    def _begun(self) -> Mapping[str, list[str]]:
        """The files that each beginning may mean."""
        return by_beginning((bare(where), locator) for where, locator in self.by_path.items())

    @cached_property
    def _below(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """The DICOM files below the folders of each name, with their paths."""
        below: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for where, locator in self.by_path.items():
            if where.lower().endswith(".dcm"):
                for folder in set(map(folded, where.split("/")[:-1])):
                    below[folder].append((where, locator))
        return below

    def has(self, text: str) -> bool:
        """Whether a text means a single file."""
        return self._count(text) == 1

    def may_have(self, text: str) -> bool:
        """Whether a text means some file."""
        return self._count(text) > 0

    def has_several(self, text: str) -> bool:
        """Whether a text may mean several files."""
        return self._count(text) > 1

    def _count(self, text: str) -> int:
        try:
            return len(self.candidates(text))
        except DataError:
            return 0


def _is_called(name: str, text: str, spelt: Spelling) -> bool:
    return spelt(text) in (spelt(name), spelt(ENDING.sub("", name) or name))


def _longest(found: Iterable[tuple[str, str]], parts: Sequence[str], spelt: Spelling) -> list[str]:
    """The files whose last folders agree with most of the last parts of a path."""
    lengths: dict[int, list[str]] = defaultdict(list)
    for where, locator in found:
        pairs = zip(reversed(where.split("/")[:-1]), reversed(parts[:-1]), strict=False)
        same = takewhile(lambda pair: spelt(pair[0]) == spelt(pair[1]), pairs)
        lengths[len(list(same))].append(locator)
    return lengths[max(lengths)]


def _folders(entries: Iterable[SourceFile]) -> dict[str, str]:
    """Folders that a table may name in place of what is in them: a DICOM series (""), or the only volume there."""
    inside: dict[str, list[SourceFile]] = defaultdict(list)
    for entry in entries:
        if len(entry.parts) > 1 and not is_picture_file(entry):
            inside["/".join(entry.parts[:-1])].append(entry)
    volumes = {name: [entry for entry in there if _is_one_file(entry)] for name, there in inside.items()}
    return {
        name: volumes[name][0].locator if len(there) == 1 and volumes[name] else ""
        for name, there in inside.items()
        if len(there) == 1 or len(volumes[name]) < len(there)
    }


def _is_one_file(entry: SourceFile) -> bool:
    """Whether a file is a volume by itself, or arrays, and no part of a DICOM series."""
    return entry.name.lower().endswith((*FILES, *ARRAYS))


def _leads_out(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path) is not None


def _is_data(path: Path) -> bool:
    """Whether a path is an image, an array, a volume or a folder that may hold a series."""
    try:
        return path.is_dir() or (
            path.is_file() and (is_image_name(path.name) or path.suffix.lower() in ARRAYS or is_volume(path))
        )
    except OSError as error:
        raise_shortage(error, reading=path)
        return False
