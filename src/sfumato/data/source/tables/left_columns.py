"""Columns of a table that have no role: they go along as they are, and what may be a class among them is told."""

import re
from collections.abc import Iterator, Sequence

from sfumato.data.manifest import COLUMNS, MEASURED_COLUMNS, Case
from sfumato.data.source.people.persons import NEARLY_ALL
from sfumato.data.source.table import SourceTable
from sfumato.data.source.tables.columns import ColumnRoles, counts
from sfumato.data.source.tables.labels import read_labels
from sfumato.errors import DataError

_RESERVED = re.compile(rf"id|(?:image|mask)(?:_\d+)?|{'|'.join((*COLUMNS, *MEASURED_COLUMNS))}")
"""Names that columns of a manifest have already."""

_MAY_BE_CLASSES = re.compile(
    r"(?:^|[\W_]|case)(?:label|class|classification|grade|diagnos\w*|finding|patholog\w*|type|subtype|severity|outcome|isup|bi-?rads|category"
    r"|dx|target|cspca|malignan\w*|group)s?(?:$|[\W_])",
    re.IGNORECASE,
)
"""Names of columns that may be the class."""

_MOST = 4
"""Columns of 0 and 1 that are told by whatever name; more are findings of one image."""

_RUNS = re.compile(r"\d+ \d+(?: \d+ \d+)+")
"""Starts and lengths of runs of pixels, two of each at least."""

_OF_AN_INDEX = re.compile(r"(?:unnamed(?::? ?\d+)?|index|column 1)?", re.IGNORECASE)
"""Columns of this name that only number the rows say nothing."""


def places_of_left_columns(table: SourceTable, plan: ColumnRoles, *, keep_split: bool) -> dict[str, int]:
    """Places of the columns that go along as they are, by a name that is free in a manifest.

    The column of the patient goes along too: a person may want to group by its name.

    Args:
        table: the table.
        plan: the columns that have a role.
        keep_split: whether that of the split goes along, since it says none.
    """
    used = plan._replace(patient="", split="" if keep_split else plan.split).used | {"patient"}
    places = dict[str, int]()
    for place, name in enumerate(table.header):
        if name in used or _numbers_the_rows(table, name):
            continue
        free_name = name or "unnamed"
        if _RESERVED.fullmatch(free_name):
            free_name = f"source_{free_name}"
        places[free_name] = place
    return places


def _numbers_the_rows(table: SourceTable, column: str) -> bool:
    """Whether a column is the index that a program wrote."""
    return _OF_AN_INDEX.fullmatch(column) is not None and counts(table.column(column))


def about_left_columns(table: SourceTable, plan: ColumnRoles, cases: Sequence[Case]) -> Iterator[str]:
    """Notes about the columns that say nothing to sfumato.

    Args:
        table: the table.
        plan: the columns that have a role.
        cases: what was made of it; their class may be the name of the column that has a 1.
    """
    one_hot = set[str | None]()
    if not plan.label:
        one_hot = {case.label for case in cases}.intersection(table.header)
    taken = {*plan.used, *one_hot}
    unused = [name for name in table.header if name not in taken and not _numbers_the_rows(table, name)]
    if not plan.label and not one_hot:
        yield from _about_classes(table, unused)
    if unused:
        yield f"columns of {table.path.name} that are kept and not used: {', '.join(unused)}"
    runs = [name for name in unused if _has_runs(table.column(name))]
    if runs:
        yield f"masks as run lengths are not read (the column {', '.join(runs)}): write them as a PNG for each image"


def _has_runs(values: Sequence[str]) -> bool:
    """Whether some values are masks as run lengths."""
    return any(map(_RUNS.fullmatch, values))


def _about_classes(table: SourceTable, unused: Sequence[str]) -> Iterator[str]:
    """Which columns may be the class where none was taken for it, or why such a one is not."""
    offers = list[str]()
    yes_or_no = [name for name in unused if set(table.column(name)) - {""} == {"0", "1"}]
    said = yes_or_no if len(yes_or_no) <= _MOST else []
    for name in (name for name in unused if name in said or _MAY_BE_CLASSES.search(name)):
        try:
            classes = _classes_in(table, name)
        except DataError as error:
            why = error.finding.splitlines()[0].removeprefix(f"{table.path}: ").rstrip(":")
            yield f"no class was taken from {table.path.name}: {why}"
            continue
        if 1 < classes < NEARLY_ALL * len(table.rows):
            offers.append(f"--label-column '{name}' ({classes} classes)")
    if offers:
        yield f"no column of {table.path.name} was taken for the class: {', or '.join(offers)}"


def _classes_in(table: SourceTable, column: str) -> int:
    """How many classes a column has.

    Raises:
        DataError: it holds no classes.
    """
    numbers = [row.number for row in table.rows]
    found = read_labels(table.path, column, table.column(column), numbers, drop_empty=True)
    return len(set(found.names) - {None})
