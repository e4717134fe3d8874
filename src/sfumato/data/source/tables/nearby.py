"""Which files a table may mean, where several have the names in it: those nearest to it.

    Training_Set/labels.csv, Training_Set/Training/1.png       Test_Set/labels.csv, Test_Set/Test/1.png

A table is about the files in the folder that it lies in and below, or about those below the next folder above, if most
of its names are there. Where each name has one file in the whole source, all of that is meant.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from shlex import quote

from sfumato.data.source.listing import ENDING, TABLES, PathParts, SourceFile
from sfumato.data.source.table import SourceTable, bare, roles
from sfumato.data.source.tables.columns import ColumnRoles, Places, plan_columns
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.data.source.tables.numbered_images import OF_ANYTHING, in_folder_of
from sfumato.data.source.words import tokens
from sfumato.errors import DataError
from sfumato.files import matching
from sfumato.wording import counted

_MOST = 1000
"""Files beside a table that are looked at."""


def plan_nearby(
    table: SourceTable,
    known: Mapping[str, str],
    images: Sequence[SourceFile],
    every: Sequence[SourceFile],
    root: Path,
    *,
    follow: Path | None = None,
) -> tuple[ColumnRoles, list[str], Places]:
    """Which column is for what, what had to be guessed, and the files that the table may mean.

    Args:
        table: the table.
        known: the columns that a person named, by role.
        images: the files that may be images.
        every: all files that it may name.
        root: the folder that these lie in.
        follow: the folder of the table, where a person named it.

    Raises:
        DataError: no column names the images.
    """
    wide = Places(FileLookup(images, root, follow=follow), FileLookup(every, root, follow=follow))
    try:
        plan, notes = plan_columns(table, known, wide)
    except DataError as error:
        numbered = _plan_by_numbers(table, known, images, every, root)
        return numbered or _plan_by_beginnings(table, known, images, every, root, error)
    texts = [text for text in table.column(plan.image) if text]
    if not any(map(wide.images.has_several, texts)):
        return plan, notes, wide
    for folder in _folders_above(table.path, root):
        near = Places(*(FileLookup(below(folder, of_kind), root, follow=follow) for of_kind in (images, every)))
        if 2 * sum(map(near.has, texts)) > len(texts):
            drawn = all(near.every.has(text) for column in plan.masks for text in table.column(column) if text)
            near = near if drawn else near._replace(every=wide.every)
            plan, notes = plan_columns(table, known, near)
            where = "/".join(folder)
            return plan, [*notes, f"names in {table.path.name} that several files have mean those in {where}"], near
    return plan, notes, wide


def _plan_by_numbers(
    table: SourceTable,
    known: Mapping[str, str],
    images: Sequence[SourceFile],
    every: Sequence[SourceFile],
    root: Path,
) -> tuple[ColumnRoles, list[str], Places] | None:
    """The same where a column that is called after images holds the numbers of these; None where none does."""
    called = next((name for name in roles(table, known)["image"] if _holds_numbers(table, name, known)), None)
    if called is None:
        return None
    kinds = (in_folder_of(table.path, images), in_folder_of(table.path, every))
    numbered = Places(*(FileLookup(entries, root, numbers=True) for entries in kinds))
    texts = list(filter(None, table.column(called)))
    if 2 * sum(map(numbered.images.has, texts)) <= len(texts) or any(map(numbered.images.has_several, texts)):
        return None
    plan, notes = plan_columns(table, {**known, "image": called}, numbered)
    first = next(filter(numbered.images.has, texts))
    note = (
        f"the column '{called}' of {table.path.name} holds the numbers of images: {first} is "
        f"{numbered.images.candidates(first)[0].removeprefix(numbered.images.root)}"
    )
    return plan, [*notes, note], numbered


def _holds_numbers(table: SourceTable, column: str, known: Mapping[str, str]) -> bool:
    """Whether each row has a number of its own in a column that is called after images, or that a person named."""
    texts = table.column(column)
    said = "image" in known or column.casefold() not in OF_ANYTHING
    return said and all(map(str.isdecimal, texts)) and len(set(map(int, texts))) == len(texts)


def _plan_by_beginnings(
    table: SourceTable,
    known: Mapping[str, str],
    images: Sequence[SourceFile],
    every: Sequence[SourceFile],
    root: Path,
    error: DataError,
) -> tuple[ColumnRoles, list[str], Places]:
    """The same where a column that is called after images holds the beginnings of their names, one for each row.

    Raises:
        DataError: none does, or they are those of several files.
    """
    shown = {entry.locator for entry in images}
    drawn = [entry for entry in every if entry.locator not in shown]
    begun = Places(*(FileLookup(entries, root, begins=True) for entries in (images, drawn)))
    try:
        plan, notes = plan_columns(table, known, begun)
    except DataError:
        raise error from None
    texts = [text for text in table.column(plan.image) if text]
    hits = [text for text in texts if begun.images.may_have(text)]
    called = plan.image in roles(table, known)["image"]
    if not called or 2 * len(hits) <= len(texts) or len(set(texts)) < len(texts):
        raise error
    if several := list(filter(begun.images.has_several, hits)):
        raise _of_several_files(table, plan.image, several, begun.images)
    (first,) = begun.images.candidates(hits[0])
    note = (
        f"the column '{plan.image}' holds the beginnings of names of files, each of one alone: {hits[0]} is "
        f"{first.removeprefix(begun.images.root)}"
    )
    return plan, [*notes, note], begun


def _of_several_files(table: SourceTable, column: str, texts: Sequence[str], files: FileLookup) -> DataError:
    """The error about beginnings of names that several files have."""
    found = files.candidates(texts[0])
    return DataError(
        f"{table.path}: {counted(len(texts), 'value')} of the column '{column}' are the beginnings of names of several "
        f"files: {texts[0]} may be {len(found)} files, such as {Path(found[0]).name}, {Path(found[1]).name}",
        expected="names, or beginnings of names, that one file has",
        remedy="write a row for each file, with its name",
        code="DATA-051",
    )


def folders_of(table: SourceTable, texts: Sequence[str], files: FileLookup) -> list[str]:
    """The folders that have one file for each of the names in a table; those called like it, where some are."""
    names = list(filter(files.may_have, dict.fromkeys(texts)))
    held = Counter(str(Path(found).parent) for text in names for found in files.candidates(text))
    whole = [folder for folder, count in held.items() if count == len(set(texts))]
    words = _words(table.path.stem)
    return [folder for folder in whole if _words(Path(folder).name) <= words] or whole


def _words(name: str) -> frozenset[str]:
    return frozenset(token.text for token in tokens(name))


def about_images_beside(table: SourceTable, texts: Sequence[str], root: Path) -> list[str]:
    """A note where the images of a table lie beside it, and others of their names in the source."""
    home, source = table.path.absolute().parent, root.absolute()
    if home.is_relative_to(source) or source.is_relative_to(home):
        return []
    names = {bare(text) for text in texts}
    nearest = _listed(home)
    deeper = chain.from_iterable(_listed(folder) for folder in nearest if folder.is_dir())
    held = [
        path
        for path in (*nearest[:_MOST], *islice(deeper, _MOST))
        if path.suffix.lower() not in TABLES and {path.name, ENDING.sub("", path.name)} & names
    ]
    if 2 * len(held) <= min(len(names), _MOST):
        return []
    folder = Counter(path.parent for path in held).most_common(1)[0][0]
    return [
        f"{table.path.name} names files that lie beside it too, in {folder}: if it is about these, give that "
        f"folder: {quote(str(folder))} --labels {quote(str(table.path))}"
    ]


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder; nothing of one that may not be read: a hint ends no command."""
    return matching(folder, "*") if os.access(folder, os.R_OK | os.X_OK) else []


def below(folder: PathParts, entries: Sequence[SourceFile]) -> list[SourceFile]:
    """The files that lie in a folder of the source or below."""
    return [entry for entry in entries if entry.parts[: len(folder)] == folder]


def _folders_above(path: Path, root: Path) -> Iterator[PathParts]:
    """The folders of the source above a table, the nearest first, without the source itself."""
    place, home = path.absolute().parent, root.absolute()
    if place.is_relative_to(home):
        parts = place.relative_to(home).parts
        yield from (parts[:depth] for depth in range(len(parts), 0, -1))
