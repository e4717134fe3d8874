"""Folders that lie in a source twice, the second time in a folder of their own, as archives that hold one leave them.

kaggle_3m/TCGA_1/1.tif ...     lgg-mri-segmentation/kaggle_3m/TCGA_1/1.tif ...
"""

import filecmp
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sfumato.data.source.listing import Listing, PathParts, SourceFile
from sfumato.wording import counted

_WITHIN = 2
"""Folders at most in which a second one lies."""


def without_twins(listing: Listing) -> Listing:
    """The files of a source without those of folders that are there twice, file by file, and notes on these."""
    below = defaultdict[PathParts, list[SourceFile]](list)
    for entry in listing.entries:
        for depth in range(1, len(entry.parts)):
            below[entry.parts[:depth]].append(entry)
    twins = dict[PathParts, PathParts]()
    for folder in sorted(below, key=len):
        if not _lies_in(folder, twins) and (first := _first_of(folder, below)):
            twins[folder] = first
    if not twins:
        return listing
    notes = list(listing.notes)
    for twin, first in twins.items():
        files = counted(len(below[twin]), "file")
        notes.append(f"{'/'.join(twin)} is {'/'.join(first)} once more, file by file, not used: {files}")
    kept = [entry for entry in listing.entries if not _lies_in(entry.parts, twins)]
    return listing._replace(entries=kept, notes=tuple(notes))


def _lies_in(path: PathParts, folders: Iterable[PathParts]) -> bool:
    return any(path[: len(folder)] == folder for folder in folders)


def _first_of(folder: PathParts, below: Mapping[PathParts, Sequence[SourceFile]]) -> PathParts | None:
    """The folder of which one is the second; None where there is none."""
    files = below[folder]
    for first in _without_outer(folder):
        others = below.get(first, ())
        if len(others) == len(files) and _are_equal(others, files, len(first), len(folder)):
            return first
    return None


def _without_outer(folder: PathParts) -> Iterator[PathParts]:
    """The path of a folder without one or two of the folders in which it lies."""
    for count in range(1, _WITHIN + 1):
        for start in range(len(folder) - count):
            yield folder[:start] + folder[start + count :]


def _are_equal(one: Sequence[SourceFile], other: Sequence[SourceFile], first: int, second: int) -> bool:
    """Whether two folders, at these depths, hold the same files; all are compared once names and sizes agree."""
    if [entry.parts[first:] for entry in one] != [entry.parts[second:] for entry in other]:
        return False
    both = [(a.locator, b.locator) for a, b in zip(one, other, strict=True)]
    same_size = all(os.stat(a).st_size == os.stat(b).st_size for a, b in both)  # noqa: PTH116 - a Path each is slow
    return same_size and all(filecmp.cmp(a, b, shallow=False) for a, b in both)
