"""The files that the rows of a table name: the image of each row, its further channels and its masks.

The table names files in any way: paths below the folder, names, names without ending, a path of the machine on which
it was written - as long as one file alone fits (`sfumato.data.source.tables.lookup`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from sfumato.data.manifest import folded
from sfumato.data.source.table import SourceTable
from sfumato.data.source.tables.columns import ColumnRoles, Places
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.data.source.tables.nearby import folders_of
from sfumato.data.source.tables.pointed import Pointed, as_large_as
from sfumato.errors import DataError, collected, listed, raise_together


class LocatedImages(NamedTuple):
    """The images of a table: the locator of each row, None where it has none, and the rows without one, in words."""

    of_rows: Sequence[str | None]
    missing: list[str]


class RowFiles(NamedTuple):
    """What each row of a table names, as locators: its image, the further channels of that, and masks."""

    images: list[str]
    channels: list[tuple[str, ...]]
    masks: list[tuple[str, ...]]

    def every(self) -> Iterator[str]:
        """All that is named."""
        yield from self.images
        for named in (*self.channels, *self.masks):
            yield from named

    def at_volumes(self, volumes: Pointed) -> "RowFiles":
        """The same with volumes in place of the DICOM files and folders that stand for them."""
        return RowFiles(
            [volumes.of(image) for image in self.images],
            [tuple(map(volumes.of, row)) for row in self.channels],
            [tuple(map(volumes.of, row)) for row in self.masks],
        )

    def channels_of_images(self) -> dict[str, tuple[str, ...]]:
        """The further channels of each image."""
        return dict(zip(self.images, self.channels, strict=True))


def locate_images(table: SourceTable, column: str, files: Places, *, drop_missing: bool) -> LocatedImages:
    """The image of each row.

    Args:
        table: the table.
        column: the column that names images.
        files: those that it may name.
        drop_missing: whether rows without an image may be left out.

    Raises:
        DataError: rows have no file, name files out of the folder, fit several files, or name different files of which
            one is here (all are listed).
    """
    of_rows, missing, problems = list[str | None](), list[str](), list[DataError]()
    texts = table.column(column)
    named = _NamedImages(table, files, folders_of(table, texts, files.images))
    for row, text in zip(table.rows, texts, strict=True):
        with collected(problems):
            of_rows.append(named.image(row.number, text))
            if of_rows[-1] is None:
                missing.append(f"row {row.number}: {text or '(empty)'}")
    raise_together(problems)
    if len(missing) == len(of_rows) or (missing and not drop_missing):
        raise _without_file(table, column, missing)
    return LocatedImages(of_rows, missing)


@dataclass(frozen=True)
class _NamedImages:
    """The images that a column names.

    Attributes:
        table: the table.
        files: those that it may name.
        folders: the folders that have a file for each name.
        first_text: what each image was called first.
    """

    table: SourceTable
    files: Places
    folders: Sequence[str]
    first_text: dict[str, str] = field(default_factory=dict)

    def image(self, number: int, text: str) -> str | None:
        """The one file that the cell of a row means; None where it means none.

        Raises:
            DataError: it means several files or one out of the folder, or the path of another row means the same.
        """
        found = self._meant(number, text) if text else []
        if not found:
            return None
        if len(found) > 1:
            raise _several_files(self.table, number, text, found, self.folders)
        (image,) = found
        first = self.first_text.setdefault(image, text)
        if _differ(first, text):
            finding = f"{self.table.path}, row {number}: '{text}' and '{first}' are both {image}"
            raise DataError(finding, expected="a file for each of two paths", code="DATA-051")
        return image

    def _meant(self, number: int, text: str) -> list[str]:
        """The files that a name may mean: images, or others; the beginning of a mask's is none."""
        try:
            images = self.files.images.candidates(text)
            if images or self.files.every.begins:
                return images
            return self.files.every.candidates(text)
        except DataError as error:
            raise _in_row(self.table, number, error) from error


def _differ(one: str, other: str) -> bool:
    """Whether two texts are paths of two files: neither ends as the other."""
    pairs = zip(_folders_upwards(one), _folders_upwards(other), strict=False)
    return any(first != second for first, second in pairs)


def _folders_upwards(text: str) -> list[str]:
    """The folders of a path in a table, the last one first."""
    *folders, _ = re.split(r"[/\\]+", folded(text))
    return folders[::-1]


def _in_row(table: SourceTable, number: int, error: DataError) -> DataError:
    finding = f"{table.path}, row {number}: {error.finding}"
    return DataError(finding, expected=error.expected, remedy=error.remedy, code=error.code)


def _several_files(
    table: SourceTable, number: int, text: str, found: Sequence[str], folders: Sequence[str]
) -> DataError:
    """The error about a name that several files have; its folder, or that of all names in the table, tells it apart."""
    folder = folders[0] if folders else str(Path(found[0]).parent)
    remedy = f"write the folder too, such as {Path(folder).name}/{text}"
    if folders:
        remedy += f"; or give that folder as the source: {quote(folder)} --labels {quote(str(table.path))}"
    return DataError(
        f"{table.path}, row {number}: '{text}' may be {len(found)} files, such as {found[0]}, {found[1]}",
        expected="a path that one file has",
        remedy=remedy,
        code="DATA-051",
    )


def _without_file(table: SourceTable, column: str, missing: Sequence[str]) -> DataError:
    remedy = "mend these rows"
    if len(missing) < len(table.rows):
        remedy += ", or leave them out with --drop-unpaired"
    return DataError(
        f"{table.path}: {len(missing)} of {len(table.rows)} rows have no file (column '{column}'):\n{listed(missing)}",
        expected="paths of images or volumes, or names of files below the folder, with or without ending",
        remedy=remedy,
        code="DATA-051",
    )


def files_of_rows(table: SourceTable, plan: ColumnRoles, located: LocatedImages, files: Places) -> RowFiles:
    """What each row names.

    Args:
        table: the rows that have an image.
        plan: the columns of the table.
        located: these images.
        files: those that the table may name.

    Raises:
        DataError: a channel or mask is not there, or out of the folder (all are listed).
    """
    images = [image for image in located.of_rows if image is not None]
    channels = _files_in(table, plan.channels, files.images, images)
    masks = _files_in(table, plan.masks, files.every, images)
    return RowFiles(images, channels, masks)


def _files_in(
    table: SourceTable, columns: Sequence[str], files: FileLookup, images: Sequence[str]
) -> list[tuple[str, ...]]:
    """The files that some columns of each row name, whose image is known; empty cells name none."""
    named: list[list[str]] = [[] for _ in table.rows]
    problems = list[DataError]()
    for column in columns:
        for row, text, of_row, image in zip(table.rows, table.column(column), named, images, strict=True):
            if not text:
                continue
            with collected(problems):
                of_row.append(_file_in(table, row.number, column, text, files, image))
    raise_together(problems)
    return list(map(tuple, named))


def _file_in(table: SourceTable, number: int, column: str, text: str, files: FileLookup, image: str) -> str:
    """The file that a cell names; of several the one that is as large as the image."""
    try:
        found = files.candidates(text)
    except DataError as error:
        raise _in_row(table, number, error) from error
    if len(found) > 1:
        found = as_large_as(image, found) or found
    if len(found) != 1:
        finding = f"{table.path}, row {number}: {len(found) or 'no'} files are the {column} '{text}'"
        raise DataError(finding, expected="a path that one file has", code="DATA-051")
    return found[0]
