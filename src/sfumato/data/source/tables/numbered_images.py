"""Images by their numbers: `7` of a table for `007.bmp` or `img_007.png`.

    Class Labels of Dataset 1.csv: image ID 1, 2, 3 ...          Dataset 1/001.bmp, Dataset 1/002.bmp, ...

A table that is called after one of the folders is about the images in it. Names of images differ by their number alone.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.words import tokens

_NUMBER = re.compile(r"(.*?)(\d+)", re.DOTALL)

OF_ANYTHING = {"id", "name"}
"""Names of columns of images that may be of anything else as well."""


def by_number(entries: Iterable[SourceFile]) -> Mapping[int, list[str]]:
    """The files by the number at the end of their names, where these differ by it alone; else none."""
    found, before = defaultdict[int, list[str]](list), set[str]()
    for entry in entries:
        parts = _NUMBER.fullmatch(entry.stem)
        if parts is None:
            return {}
        before.add(parts[1])
        found[int(parts[2])].append(entry.locator)
    return found if len(before) == 1 else {}


def in_folder_of(table: Path, entries: Sequence[SourceFile]) -> list[SourceFile]:
    """The files in the one folder that a table is called after; all where there is none, or several are."""
    folders = defaultdict[PathParts, list[SourceFile]](list)
    for entry in entries:
        folders[entry.parts[:-1]].append(entry)
    called = [folder for folder in folders if folder and is_called_after(table.stem, folder[-1])]
    return folders[called[0]] if len(called) == 1 and len(folders) > 1 else list(entries)


def is_called_after(table: str, folder: str) -> bool:
    """Whether the words of the name of a folder stand together in that of a table, and there is a number among them."""
    words, of_folder = _words(table), _words(folder)
    runs = (words[start : start + len(of_folder)] for start in range(len(words)))
    return any(map(str.isdecimal, of_folder)) and of_folder in runs


def _words(name: str) -> list[str]:
    return [token.text for token in tokens(name)]
