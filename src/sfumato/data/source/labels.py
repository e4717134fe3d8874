"""From what a table says of each image to one class: numbers written alike, one-hot columns and texts, and refusals."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.errors import DataError, listed
from sfumato.wording import counted

EMPTY = {"", "nan", "na", "null", "<na>"}
"""What programs write where there is no value."""

DOUBTFUL = {"n/a", "none", "unknown", "missing", "-", "?"}
"""What people write there, or call a class."""
BITS = re.compile(r"[01]{2,}")
LIST = re.compile(r"\[.*\]|\(.*\)|\{.*\}")


class Labels(NamedTuple):
    """One class per row (None where there is none), what was done to the values, and whether rows are to go."""

    names: list[str | None]
    notes: list[str]
    dropped: bool = False


def read_labels(path: Path, column: str, values: Sequence[str], numbers: Sequence[int], *, drop_empty: bool) -> Labels:
    """Classes from the values of a column.

    Args:
        path: the table, for errors.
        column: its name, for errors.
        values: one per row.
        numbers: of the rows in the file.
        drop_empty: whether some rows may have no class.

    Raises:
        DataError: several classes in one value, measurements instead of classes, or rows without a class.
    """
    empty = [value.lower() in EMPTY for value in values]
    if all(empty):
        return Labels([None] * len(values), [f"the column '{column}' is empty: no classes"] if values else [])
    filled = [(number, value) for number, value, none in zip(numbers, values, empty, strict=True) if not none]
    given = [value for _, value in filled]
    _refuse_several(path, column, filled)
    mapping, notes = _names(path, column, given)
    notes += [
        f"'{value}' in the column '{column}' was read as a class ({counted(count, 'row')}): empty these cells if it "
        "means that there is none"
        for value, count in Counter(given).items()
        if value.lower() in DOUBTFUL
    ]
    if any(empty):
        rows = listed([f"row {number}" for number, none in zip(numbers, empty, strict=True) if none])
        if not drop_empty:
            raise DataError(
                f"{path}: {sum(empty)} rows have no class in the column '{column}':\n{rows}",
                expected="a class in every row",
                remedy="fill them in, or leave these rows out with --drop-unpaired",
                code="DATA-052",
            )
        notes.append(f"rows without a class in the column '{column}', left out: {sum(empty)}")
    names = [None if none else mapping[value] for value, none in zip(values, empty, strict=True)]
    return Labels(names, notes, dropped=any(empty))


def one_hot_columns(columns: Mapping[str, Sequence[str]]) -> Labels | None:
    """Classes from columns of 0 and 1 of which each row has a single 1; None where there are no such columns."""
    bits = {name: values for name, values in columns.items() if {_number(value) for value in values} <= {"0", "1"}}
    rows = list(zip(*bits.values(), strict=True))
    if len(bits) < 2 or not rows or any(sum(_number(value) == "1" for value in row) != 1 for row in rows):
        return None
    names = list(bits)
    labels: list[str | None] = [names[[_number(value) for value in row].index("1")] for row in rows]
    return Labels(labels, [f"the class is the column that has a 1: {', '.join(names)}"])


def _names(path: Path, column: str, values: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The name of the class of each value."""
    distinct = sorted(set(values))
    if _are_bits(distinct):
        if several := [value for value in distinct if value.count("1") != 1]:
            raise _several(path, column, [f"'{value}'" for value in several])
        names = {value: str(value.index("1")) for value in distinct}
        return names, [f"the column '{column}' is one-hot: the class is the place of the 1, counted from 0"]
    numbers = {value: _number(value) for value in distinct}
    if any(number is None for number in numbers.values()):
        return dict(zip(distinct, distinct, strict=True)), []
    if broken := [value for value, number in numbers.items() if number and not number.lstrip("-").isdecimal()]:
        raise DataError(
            f"{path}: the column '{column}' holds measurements, no classes:\n{listed(broken)}",
            expected="a class (a name or a whole number) in every row",
            remedy="name another column with --label-column, or write classes",
            code="DATA-052",
        )
    names = {value: number for value, number in numbers.items() if number is not None}
    changed = [f"{value} as {name}" for value, name in names.items() if value != name]
    return names, [
        f"classes of the column '{column}' were read as numbers: {', '.join(changed[:5])}"
    ] if changed else []


def _number(value: str) -> str | None:
    """A number as it is written shortest; None for other texts."""
    try:
        number = float(value)
    except ValueError:
        return None
    if number != number or number in (float("inf"), float("-inf")):
        return None
    return str(int(number)) if number.is_integer() else value


def _are_bits(values: Sequence[str]) -> bool:
    """Whether all values are rows of bits of one length, and not numbers such as 10 and 11."""
    return (
        all(BITS.fullmatch(value) for value in values)
        and len({len(value) for value in values}) == 1
        and (len(values[0]) > 2 or any(value.startswith("0") for value in values))
        and (len(values[0]) > 2 or all(value.count("1") == 1 for value in values))
    )


def _refuse_several(path: Path, column: str, rows: Sequence[tuple[int, str]]) -> None:
    """Refuse texts such as `Mass|Nodule`: they are several classes of one image."""
    alone = {value for _, value in rows}

    def several(value: str) -> bool:
        parts = [part.strip() for part in re.split(r"[;,]", value)]
        return "|" in value or bool(LIST.fullmatch(value)) or (len(parts) > 1 and any(part in alone for part in parts))

    if found := [f"row {number}: '{value}'" for number, value in rows if several(value)]:
        raise _several(path, column, found)


def _several(path: Path, column: str, found: Sequence[str]) -> DataError:
    return DataError(
        f"{path}: the column '{column}' has several classes in one value:\n{listed(found)}",
        expected="one class per image",
        remedy="make a column with the one class that the model is to know, and name it with --label-column",
        code="DATA-052",
    )
