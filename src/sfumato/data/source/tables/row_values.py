"""What the rows of a table say of their images: class, patient, split, and the columns that go along.

Rows that name an image again may bring masks of further readers, but no other class, patient or split.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from sfumato.data.manifest import Case
from sfumato.data.source.people.persons import spelling
from sfumato.data.source.table import UNKNOWN_WORDS, SourceTable, columns_of
from sfumato.data.source.tables.columns import ColumnRoles, counts
from sfumato.data.source.tables.labels import ClassColumn, one_hot_columns, read_labels
from sfumato.data.source.tables.left_columns import places_of_left_columns
from sfumato.data.source.tables.row_files import RowFiles
from sfumato.data.source.words import SPLIT_WORDS
from sfumato.errors import DataError, listed

_SHOWN = 5
"""Words of a column that are shown where they are no splits."""


@dataclass(frozen=True)
class RowValues:
    """What each row says of its image: class, split, and the patient; empty where it says that nobody knows."""

    labels: ClassColumn
    splits: ClassColumn
    patients: list[str]

    @cached_property
    def says_classes(self) -> bool:
        """Whether some row has a class."""
        return any(self.labels.names)

    @property
    def notes(self) -> list[str]:
        """What was done to the values."""
        return [*self.labels.notes, *self.splits.notes]

    def said_of(self, case: Case, row: int) -> Case:
        """A case with what a row says of it."""
        return replace(
            case,
            label=self.labels.names[row] if self.says_classes else case.label,
            split=self.splits.names[row] or case.split,
            patient=self.patients[row] or case.patient,
        )


def read_row_values(table: SourceTable, plan: ColumnRoles, known: Mapping[str, str], *, drop_empty: bool) -> RowValues:
    """What each row says.

    Args:
        table: the rows that have an image.
        plan: the columns of the table.
        known: the columns that a person named, by role.
        drop_empty: whether some rows may have no class.

    Raises:
        DataError: a column that is named for classes or splits holds none.
    """
    return RowValues(
        _labels(table, plan, known, drop_empty=drop_empty), _splits(table, plan, known), _patients(table, plan)
    )


def _labels(table: SourceTable, plan: ColumnRoles, known: Mapping[str, str], *, drop_empty: bool) -> ClassColumn:
    """The class of each row, from the column for it or from one-hot columns."""
    if plan.label:
        numbers = [row.number for row in table.rows]
        return read_labels(table.path, plan.label, table.column(plan.label), numbers, drop_empty=drop_empty)
    if "label" in known:
        return _of_named_one_hot_columns(table, columns_of(known["label"], table.header))
    used, free = plan.used, dict[str, list[str]]()
    for name in table.header:
        if name not in used and not counts(values := table.column(name)):
            free[name] = values
    return one_hot_columns(free) or _nothing_said(table)


def _of_named_one_hot_columns(table: SourceTable, columns: Sequence[str]) -> ClassColumn:
    found = one_hot_columns({name: table.column(name) for name in columns}, told=columns)
    if found is None or None in found.names:
        raise DataError(
            f"{table.path}: the columns {', '.join(columns)} are no classes: not every row has a single 1 in them",
            expected="columns of 0 and 1, of which each row has a single 1",
            remedy="name one column of classes with --label-column",
            code="DATA-052",
        )
    return found


def _nothing_said(table: SourceTable, *notes: str) -> ClassColumn:
    return ClassColumn([None] * len(table.rows), list(notes))


def _splits(table: SourceTable, plan: ColumnRoles, known: Mapping[str, str]) -> ClassColumn:
    """The split of each row; a column of other words is no split unless a person says so."""
    if not plan.split:
        return _nothing_said(table)
    values = [value.lower() for value in table.column(plan.split)]
    strange = sorted({value for value in values if value and value not in SPLIT_WORDS})
    if not strange:
        return ClassColumn([SPLIT_WORDS.get(value) for value in values], [])
    if "split" in known:
        raise DataError(
            f"{table.path}: the column '{plan.split}' has values that are no splits:\n{listed(strange)}",
            expected="train, validation (val, valid) or test",
            code="DATA-016",
        )
    shown = ", ".join(strange[:_SHOWN])
    return _nothing_said(table, f"the column '{plan.split}' holds no splits ({shown}): kept as it is")


def _patients(table: SourceTable, plan: ColumnRoles) -> list[str]:
    """Whose each row is; empty where it says that nobody knows."""
    if not plan.patient:
        return [""] * len(table.rows)
    return ["" if text.casefold() in UNKNOWN_WORDS else text for text in table.column(plan.patient)]


def described_by_rows(
    cases: Sequence[Case], table: SourceTable, plan: ColumnRoles, files: RowFiles, values: RowValues
) -> list[Case]:
    """The cases that rows name, with what these say.

    Args:
        cases: what the folders say of the images.
        table: the rows that have an image.
        plan: the columns of the table.
        files: what each row names.
        values: what each row says.

    Raises:
        DataError: rows of one image have different classes, patients or splits.
    """
    rows_of_images = _rows_of_images(files.images)
    _refuse_clashes(table, rows_of_images, "class", values.labels.names)
    _refuse_clashes(table, rows_of_images, "patient", [spelling(name) or None for name in values.patients])
    _refuse_clashes(table, rows_of_images, "split", values.splits.names)
    channels = files.channels_of_images()
    columns = places_of_left_columns(table, plan, keep_split=not any(values.splits.names))
    described = list[Case]()
    for case in cases:
        rows = rows_of_images.get(case.image)
        if rows is None:
            continue
        fields = table.rows[rows[0]].fields
        described.append(
            replace(
                values.said_of(case, rows[0]),
                channels=channels[case.image],
                masks=_masks_of(rows, files) or case.masks,
                more={name: fields[place].strip() for name, place in columns.items()},
            )
        )
    return described


def _rows_of_images(images: Sequence[str]) -> Mapping[str, Sequence[int]]:
    """The places of the rows of each image."""
    rows = defaultdict[str, list[int]](list)
    for place, image in enumerate(images):
        rows[image].append(place)
    return rows


def _masks_of(rows: Sequence[int], files: RowFiles) -> tuple[str, ...]:
    """The masks that the rows of an image name, each once."""
    masks = dict[str, None]()
    for row in rows:
        masks |= dict.fromkeys(files.masks[row])
    return tuple(masks)


def _refuse_clashes(
    table: SourceTable, rows_of_images: Mapping[str, Sequence[int]], what: str, values: Sequence[str | None]
) -> None:
    """Refuse rows of one image that say different things of it.

    Args:
        table: the table.
        rows_of_images: the places of the rows of each image.
        what: what is said.
        values: by each row.
    """
    clashes = list[str]()
    for image, rows in rows_of_images.items():
        if len({values[row] for row in rows}) > 1:
            said = ", ".join(f"{values[row]} (row {table.rows[row].number})" for row in rows)
            clashes.append(f"{Path(image).name}: {said}")
    if clashes:
        raise DataError(
            f"{table.path}: {len(clashes)} images have rows with different values of the {what}:\n{listed(clashes)}",
            expected=f"one {what} per image",
            remedy="keep one row for each image",
            code="DATA-053",
        )
