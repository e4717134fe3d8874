"""Which column of a table is for what: its image (and further channels), masks, class, patient and split.

A column is known by its name, or named by the person; of several that could name the images, the one with the most
files wins. Where no column names files, the error says which values were compared with which files.
"""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.witness import are_photographs
from sfumato.data.source.table import SourceTable, numbered_columns, roles
from sfumato.data.source.tables.labels import read_labels
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.data.source.words import tokens
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_ASKED = 100
"""Rows whose cells are looked up to tell whether a column names channels, or files that several fit."""

_SHOWN = 5
"""Values and files that an error names."""


WIDE = {"level", "grade", "pathology", "diagnostic", "category", "target"}
"""Names of columns that are classes often, but not always: which one was taken is said."""

_LAST = {"label", "labels", "class", "classes", "grade", "diagnosis", "finding", "findings", "pathology", "dx"}
"""Last words of the names of columns that are taken for the class where they are alone and have few values."""

_MOST = 50
"""Classes of such a column."""


class ColumnRoles(NamedTuple):
    """Which columns have which role; empty where none has. `channels`: further files of the image."""

    image: str
    channels: tuple[str, ...]
    masks: tuple[str, ...]
    label: str
    patient: str
    split: str

    @property
    def used(self) -> set[str]:
        """All columns that have a role."""
        return {self.image, *self.channels, *self.masks, self.label, self.patient, self.split} - {""}


class Places(NamedTuple):
    """The files that may be images, and all."""

    images: FileLookup
    every: FileLookup

    def has(self, text: str) -> bool:
        """Whether a text means a single image."""
        return self.images.has(text)

    def outside(self, root: Path) -> tuple[str, ...]:
        """Folders out of the root that the table led to."""
        led = {*self.images.outside, *self.every.outside}
        away = [path for path in map(Path, led) if not path.is_relative_to(root.absolute())]
        folders = Counter(str(path.parent) for path in away)
        return tuple(f"{folder}: {counted(number, 'file')}" for folder, number in sorted(folders.items()))


class _ImageColumns(NamedTuple):
    """The column of the image, those of its further channels, and what was guessed."""

    image: str
    channels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plan_columns(table: SourceTable, known: Mapping[str, str], files: Places) -> tuple[ColumnRoles, list[str]]:
    """Which column is for what, and what had to be guessed.

    Raises:
        DataError: no column names the images.
    """
    possible = roles(table, known)
    if not table.named:
        possible |= {"image": list(table.header), "mask": list(table.header)}
    image, channels, notes = _image_columns(table, known, possible["image"], files)
    free = [name for name in table.header if name not in (image, *channels)]
    masks = _mask_columns(table, known, [name for name in possible["mask"] if name in free], free, files)
    taken = {image, *channels, *masks}
    label = _of_role("label", possible, known, taken)
    not_patient = (taken | {label}) - {image}  # `patientId` may be what the file of a patient is called
    patient = _of_role("patient", possible, known, not_patient)
    split = _of_role("split", possible, known, taken | {label, patient})
    guessed = "" if label else _guessed_label(table, known, taken | {label, patient, split})
    plan = ColumnRoles(image, channels, masks, label or guessed, patient, split)
    if not table.named:
        return plan, [*notes, f"{table.path.name} has no header: {image} names the images"]
    if plan.label and "label" not in known:
        others = [name for name in possible["label"] if name != plan.label]
        return plan, [*notes, *_about_label(plan.label, others, guessed=bool(guessed))]
    return plan, list(notes)


def _of_role(role: str, possible: Mapping[str, Sequence[str]], known: Mapping[str, str], taken: Container[str]) -> str:
    """The likeliest free column of a role; none of several that a person named, which are one-hot."""
    free = [name for name in possible[role] if name not in taken]
    if not free or (role in known and len(free) > 1):
        return ""
    return free[0]


def _guessed_label(table: SourceTable, known: Mapping[str, str], taken: Container[str]) -> str:
    """The column of the class where no name of one is known: the only one that may be it."""
    free = [name for name in table.header if name not in taken]
    if not table.named:
        may_be = [name for name in free if not counts(table.column(name))]
    elif "label" not in known:
        may_be = [name for name in free if _is_called_a_class(table, name)]
    else:
        return ""
    return may_be[0] if len(may_be) == 1 else ""


def _about_label(label: str, others: Sequence[str], *, guessed: bool) -> Iterator[str]:
    """A line about the column of the class where another may be it, or its name says something else often."""
    if others or guessed or label.casefold() in WIDE:
        more = f" (others: {', '.join(others)})" if others else ""
        yield f"the class is taken from the column '{label}'{more}: --label-column names another"


def _is_called_a_class(table: SourceTable, column: str) -> bool:
    """Whether the last word of the name of a column is one for a class, and each row has one of a few."""
    words, values = tokens(column), table.column(column)
    if not words or words[-1].text not in _LAST or not all(values):
        return False
    try:
        names = read_labels(table.path, column, values, [row.number for row in table.rows], drop_empty=False).names
    except DataError:
        return False
    return None not in names and 1 < len(set(names)) <= min(_MOST, len(names) // 2)


def _image_columns(
    table: SourceTable, known: Mapping[str, str], possible: Sequence[str], files: Places
) -> _ImageColumns:
    """The column of the image and those of its further channels.

    Raises:
        DataError: no column names the images.
    """
    if "image" in known:
        return _ImageColumns(possible[0], tuple(possible[1:]))
    several = numbered_columns("image", table.header)
    if len(several) > 1 and all(_names_all_at_first(table, name, files) for name in several):
        return _ImageColumns(several[0], tuple(several[1:]), (f"channels of each image: {', '.join(several)}",))
    if image := _most(table, possible, files.images):
        further = numbered_columns("image", [name for name in table.header if name != image])
        return _ImageColumns(image, tuple(name for name in further if _names_all(table, name, files.images)))
    if table.named:
        image = _most(table, [name for name in table.header if name not in possible], files.images)
        if image and _names_most(table, image, files.images):
            return _ImageColumns(image, notes=(f"the column '{image}' names the images",))
    raise _nobodys_files(table, possible, files)


def _names_all_at_first(table: SourceTable, column: str, files: Places) -> bool:
    """Whether every one of the first cells of a column that is not empty means a single image."""
    return all(files.has(text) for text in table.column(column)[:_ASKED] if text)


def _names_all(table: SourceTable, column: str, files: FileLookup) -> bool:
    """Whether every cell of a column that is not empty names a file."""
    filled = [text for text in table.column(column) if text]
    return bool(filled) and all(map(files.has, filled))


def _names_most(table: SourceTable, column: str, files: FileLookup) -> bool:
    """Whether most cells of a column name a file, or most files are named by it: not all may be there."""
    hits = [text for text in table.column(column) if files.has(text)]
    return 2 * len(hits) > len(table.rows) or 2 * len(set(hits)) > len(files) > 1


def _nobodys_files(table: SourceTable, possible: Sequence[str], files: Places) -> DataError:
    """The error where no column names files, with what was compared."""
    compared = [f"column '{name}': {_some(table.column(name))}" for name in (possible or table.header)]
    there = _some(list(files.images.by_path)) or "none"
    return DataError(
        f"{table.path}: no column names the images; the columns are: {', '.join(table.header)}\n"
        f"{listed([*compared, f'files: {there}'])}",
        expected="a column image, file, id ... with names of files, with or without ending and folders",
        remedy="name it with --image-column, or write a column with the names of the files",
        code="DATA-050",
    )


def _some(values: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(values))
    shown = ", ".join(distinct[:_SHOWN])
    return f"{shown} ... ({len(distinct)} in all)" if len(distinct) > _SHOWN else shown


def _mask_columns(
    table: SourceTable, known: Mapping[str, str], possible: Sequence[str], free: Sequence[str], files: Places
) -> tuple[str, ...]:
    """The columns of masks, one for each reader."""
    if "mask" in known:
        return tuple(possible)
    several = [name for name in numbered_columns("mask", free) if _names_all(table, name, files.every)]
    if len(several) > 1:
        return tuple(several)
    mask = _most(table, possible, files.every)
    if not mask or not (table.named or _looks_like_masks(table, mask, files.every)):
        return ()
    return (mask,)


def _looks_like_masks(table: SourceTable, column: str, files: FileLookup) -> bool:
    """Whether the files of a column that no header calls masks may be some: not if they have many values."""
    texts = filter(files.has, table.column(column))
    return not are_photographs([SourceFile(files.candidates(text)[0], (text,)) for text in texts])


def _most(table: SourceTable, columns: Sequence[str], files: FileLookup) -> str:
    """The column that names most files, be it that several files fit; none if none does."""
    hits = {name: _hits(table.column(name), files) for name in columns}
    best = max(hits, key=lambda name: hits[name], default="")
    return best if best and any(hits[best]) else ""


def _hits(texts: Sequence[str], files: FileLookup) -> tuple[int, int]:
    """How many texts mean a single file, and how many of the first ones mean any."""
    return sum(map(files.has, texts)), sum(files.may_have(text) for text in texts[:_ASKED])


def counts(values: Sequence[str]) -> bool:
    """Whether values number the rows."""
    return any(list(values) == [str(row + start) for row in range(len(values))] for start in (0, 1))
