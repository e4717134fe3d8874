"""Images that a table describes, or several tables, of which each is about a split or a part of the set.

The cases of each are read by themselves (`sfumato.data.source.tables.one_table`) and put together: what several say is
told once, and an image without a case is one that none of them names.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.formats.joined import mask_parts
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.manifest import Case, folded
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.listing import ENDING, SourceFile
from sfumato.data.source.matching.pairing import NO_PARTNER
from sfumato.data.source.table import SourceTable, bare
from sfumato.data.source.tables.leftover import Named, about_left
from sfumato.data.source.tables.one_table import Tabulated, join_table
from sfumato.wording import counted

_TABLE = "\0"
"""What stands for the name of a table in a note: no name has it."""

NOTHING_JOINED: Mapping[Path, SourceTable] = MappingProxyType({})


class _Part(NamedTuple):
    """A table of several: its file, the split that it is about (empty for none), and what it says."""

    path: Path
    split: str
    read: Tabulated


def tabulate_splits(
    tables: Mapping[Path, str],
    entries: Sequence[SourceFile],
    root: Path,
    *,
    masks: Sequence[SourceFile] | None,
    hints: ReadOptions,
    follow: bool,
    joined: Mapping[Path, SourceTable] = NOTHING_JOINED,
) -> Tabulated:
    """The cases of a table, or of one for each split.

    Args:
        tables: the tables, with the split that each says; empty for a single one.
        entries: files that they may name.
        root: the folder that these lie in.
        masks: the masks, if they are in a folder of their own.
        hints: names of columns, and what to do with rows that lack a file or class.
        follow: whether their paths may lead out of `root`: a person named them.
        joined: tables with what others say of the same images, by their paths.

    Raises:
        DataError: columns are missing or unclear, rows have no file (all are listed), classes contradict each other.
    """
    parts = list[_Part]()
    for path, split in tables.items():
        read = join_table(path, entries, root, masks=masks, hints=hints, follow=follow, joined=joined)
        parts.append(_Part(path, split, read))
    reads = [part.read for part in parts]
    notes = [*_told_once(parts), *_about_left(parts, look=not hints.images_only)]
    unpaired = _without_partner(reads)
    if len(parts) > 1:  # what one of them leaves another one may have
        notes = [note for note in notes if not note.startswith(NO_PARTNER)]
        notes += [f"{NO_PARTNER}: {counted(len(unpaired), 'file')}"] if unpaired else []
    arranged = reads[0].arranged._replace(cases=_cases(parts, root), notes=notes, unpaired=unpaired)
    return reads[0]._replace(
        arranged=arranged,
        headers=_headers(reads),
        outside=tuple(dict.fromkeys(chain.from_iterable(read.outside for read in reads))),
        rows=reads[0].rows if len(reads) == 1 else {},
        unlabelled=tuple(chain.from_iterable(read.unlabelled for read in reads)),
    )


def _without_partner(reads: Sequence[Tabulated]) -> list[str]:
    """The images and masks that have no partner in any of some tables."""
    cases = list(chain.from_iterable(read.arranged.cases for read in reads))
    used = {part.locator for case in cases for mask in case.masks for part in mask_parts(mask)}
    left = chain.from_iterable(read.arranged.unpaired for read in reads)
    return [file for file in dict.fromkeys(left) if file not in used]


def _told_once(parts: Iterable[_Part]) -> list[str]:
    """The notes about tables, each with its table: those that say the same of several name all of these."""
    tables = defaultdict[str, list[str]](list)
    for part in parts:
        for note in part.read.arranged.notes:
            tables[note.replace(part.path.name, _TABLE)].append(part.path.name)
    return [note.replace(_TABLE, ", ".join(dict.fromkeys(names))) for note, names in tables.items()]


def _about_left(parts: Sequence[_Part], *, look: bool) -> Iterable[str]:
    """Notes about files that no table names; whether these are like masks is seen if one is to `look`."""
    stems = set[str]()
    for part in parts:
        stems.update(ENDING.sub("", bare(case.image)) for case in part.read.arranged.cases)
    named = Named(" and ".join(part.path.name for part in parts), stems, parts[0].read.mask_columns)
    images = _named_by_none([part.read.unnamed for part in parts])
    masks = _named_by_none([part.read.beside for part in parts])
    return about_left(images, masks, named, look=look)


def _named_by_none(left: Sequence[Mapping[str, SourceFile]]) -> list[SourceFile]:
    """The files that each of several tables leaves."""
    first, *others = left
    return [entry for locator, entry in first.items() if all(locator in other for other in others)]


def _headers(reads: Iterable[Tabulated]) -> dict[str, VolumeHeader]:
    headers = dict[str, VolumeHeader]()
    for read in reads:
        headers |= read.headers
    return headers


def _cases(parts: Sequence[_Part], root: Path) -> list[Case]:
    """The cases of tables, with their splits; an id says its part where that of another table is the same."""
    cases, paths = list[Case](), list[Path]()
    for part in parts:
        for case in part.read.arranged.cases:
            cases.append(replace(case, split=part.split or case.split))
            paths.append(part.path)
    if _are_distinct([case.id for case in cases]):
        return cases
    ids = [f"{case.split}_{case.id}" for case in cases]
    if not _are_distinct(ids):
        ids = [f"{Path(case.image).parent.name}_{case.id}" for case in cases]
    if not _are_distinct(ids):
        folders = {part.path: _folder_of(part.path, root) for part in parts}
        ids = [f"{folders[path]}_{case.id}" for path, case in zip(paths, cases, strict=True)]
    return [replace(case, id=name) for name, case in zip(ids, cases, strict=True)]


def _are_distinct(ids: Sequence[str]) -> bool:
    return len(set(map(folded, ids))) == len(ids)


def _folder_of(table: Path, root: Path) -> str:
    """The folders of the source above a table, as a name."""
    return "_".join(table.absolute().parent.relative_to(root.absolute()).parts)
