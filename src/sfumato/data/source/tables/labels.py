"""From what a table says of each image to one class: numbers written alike, one-hot columns and texts, and refusals."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import NamedTuple

from sfumato.errors import DataError, listed
from sfumato.wording import counted

EMPTY = {"", "nan", "na", "null", "<na>"}
"""What programs write where there is no value."""

DOUBTFUL = {"n/a", "none", "unknown", "missing", "-", "?"}
"""What people write there, or call a class."""

_PAIRS = frozenset(
    {
        frozenset({"benign", "malignant"}),
        frozenset({"normal", "abnormal"}),
        frozenset({"positive", "negative"}),
        frozenset({"healthy", "diseased"}),
        frozenset({"healthy", "disease"}),
        frozenset({"yes", "no"}),
        frozenset({"normal", "pneumonia"}),
        frozenset({"control", "patient"}),
    }
)
"""Two columns that are classes, and no sides or sexes."""

_SHOWN = 5
"""Values that a line shows."""

TRIED = 20_000
"""Steps of the search for columns that exclude each other."""

CHOOSE = "name them with --label-column, with commas between them"
_BITS = re.compile(r"[01]{2,}")
LIST = re.compile(r"\[.*\]|\(.*\)|\{.*\}")
LIST_OF_ONE = re.compile(r"[\[({]\s*(['\"]?)([^,;|'\"\[\](){}]+)\1\s*,?\s*[\])}]")


class ClassColumn(NamedTuple):
    """One class per row (None where there is none), what was done to the values, and whether rows are to go."""

    names: list[str | None]
    notes: list[str]
    dropped: bool = False


def read_labels(
    path: Path, column: str, values: Sequence[str], numbers: Sequence[int], *, drop_empty: bool
) -> ClassColumn:
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
    values = _out_of_lists(values)
    empty = [value.lower() in EMPTY for value in values]
    if all(empty):
        return ClassColumn([None] * len(values), [f"the column '{column}' is empty: no classes"] if values else [])
    unsure = _unsure(values, empty)
    if any(unsure):
        return _without_unsure(path, column, values, numbers, unsure, drop_empty=drop_empty)
    filled = [(number, value) for number, value, none in zip(numbers, values, empty, strict=True) if not none]
    _refuse_several(path, column, filled)
    given = [value for _, value in filled]
    classes, notes = _names(path, column, given)
    notes += _about_doubtful(column, given)
    if not any(empty):
        return ClassColumn([classes[value] for value in values], notes)
    if not drop_empty:
        raise _without_class(path, column, list(compress(numbers, empty)))
    notes.append(f"rows without a class in the column '{column}', left out: {sum(empty)}")
    names = [None if none else classes[value] for value, none in zip(values, empty, strict=True)]
    return ClassColumn(names, notes, dropped=True)


def _about_doubtful(column: str, values: Sequence[str]) -> Iterator[str]:
    """A line for each class by whose name a person may mean that there is none."""
    for value, rows in Counter(values).items():
        if value.lower() in DOUBTFUL:
            yield (
                f"'{value}' in the column '{column}' was read as a class ({counted(rows, 'row')}): empty these cells "
                "if it means that there is none"
            )


def _without_class(path: Path, column: str, numbers: Sequence[int]) -> DataError:
    rows = listed([f"row {number}" for number in numbers])
    return DataError(
        f"{path}: {len(numbers)} rows have no class in the column '{column}':\n{rows}",
        expected="a class in every row",
        remedy="fill them in, or leave these rows out with --drop-unpaired",
        code="DATA-052",
    )


def _out_of_lists(values: Sequence[str]) -> Sequence[str]:
    """The values without brackets, where each is a list of one, as Python writes them: `['N']`."""
    inside = {value: LIST_OF_ONE.fullmatch(value.strip()) for value in values if value.lower() not in EMPTY}
    if not all(inside.values()):
        return values
    alone = {value: match[2].strip() for value, match in inside.items() if match}
    return [alone.get(value, value) for value in values]


def _unsure(values: Sequence[str], empty: Sequence[bool]) -> list[bool]:
    """Which values are the -1 of a column of numbers."""
    are_open = list[bool]()
    for value, none in zip(values, empty, strict=True):
        number = None if none else _number(value)
        if number is None and not none:
            return [False] * len(values)
        are_open.append(number == "-1")
    return are_open


def _without_unsure(
    path: Path, column: str, values: Sequence[str], numbers: Sequence[int], unsure: Sequence[bool], *, drop_empty: bool
) -> ClassColumn:
    """Classes where -1 is none: CheXpert and MIMIC-CXR write it where a report leaves a finding open.

    Raises:
        DataError: nobody said that these rows may go, and as for `read_labels`.
    """
    meaning = "CheXpert and MIMIC-CXR write -1 for a finding that is uncertain"
    left = [place for place, open_ in enumerate(unsure) if not open_]
    are_some = any(values[place].lower() not in EMPTY for place in left)
    if not drop_empty:
        raise _open(path, column, list(compress(numbers, unsure)), meaning, are_some=are_some)
    if not are_some:
        raise DataError(
            f"{path}: no row has a class in the column '{column}': it is -1 or empty",
            expected="two classes at least",
            remedy="name another column with --label-column, or write a word where -1 is a class",
            code="DATA-052",
        )
    told = (
        f"rows with -1 in the column '{column}', left out: {sum(unsure)} ({meaning}; write a word where it is a class)"
    )
    left_values, left_numbers = [values[place] for place in left], [numbers[place] for place in left]
    found = read_labels(path, column, left_values, left_numbers, drop_empty=drop_empty)
    names: list[str | None] = [None] * len(values)
    for place, name in zip(left, found.names, strict=True):
        names[place] = name
    return ClassColumn(names, [told, *found.notes], dropped=True)


def _open(path: Path, column: str, numbers: Sequence[int], meaning: str, *, are_some: bool) -> DataError:
    """The error about rows with -1, where nobody said that they may go.

    Args:
        path: the table.
        column: its column.
        numbers: of these rows.
        meaning: what -1 means.
        are_some: whether other rows have a class.
    """
    rows = [f"row {number}" for number in numbers]
    remedy = "write a word where -1 is a class"
    if are_some:
        remedy = f"leave these rows out, and those without a class, with --drop-unpaired; or {remedy}"
    return DataError(
        f"{path}: {counted(len(rows), 'row has', 'rows have')} -1 in the column '{column}', which is taken for no "
        f"class ({meaning}):\n{listed(rows)}",
        expected="a class in every row",
        remedy=remedy,
        code="DATA-052",
    )


def one_hot_columns(columns: Mapping[str, Sequence[str]], *, told: Sequence[str] = ()) -> ClassColumn | None:
    """Classes from columns of 0 and 1: the largest set of which each row has a single 1.

    Two columns alone are classes where their names say so or a person does: `left` and `right` exclude each other too.

    Args:
        columns: the columns that may be classes.
        told: those that a person named; then all of them are.

    Returns:
        None where no two columns exclude each other.
    """
    bits = {name: _ones(values) for name, values in columns.items()}
    ones = {name: rows for name, rows in bits.items() if rows}
    height = len(next(iter(columns.values()), ()))
    found = _exclusive(ones, (1 << height) - 1) if len(ones) > 1 else []
    if not found:
        return None
    largest = found[0]
    if doubt := _doubt_of_one_hot(found, told=told):
        return ClassColumn([None] * height, [doubt])
    names: list[str | None] = [None] * height
    for row in range(height):
        names[row] = next(name for name in largest if ones[name] >> row & 1)
    note = f"the class is the column that has a 1: {', '.join(largest)}"
    rest = [name for name, rows in bits.items() if rows is not None and name not in largest]
    if rest:
        note += f"; not taken: {', '.join(rest)}"
    return ClassColumn(names, [note])


def _doubt_of_one_hot(found: Sequence[tuple[str, ...]], *, told: Sequence[str]) -> str:
    """Why no classes are made of columns that exclude each other; empty where the largest set of them are classes."""
    largest, *others = found
    if others and len(others[0]) == len(largest):
        either = " or ".join(", ".join(names) for names in (largest, others[0]))
        return f"the classes may be the columns {either}: no classes; {CHOOSE}"
    if len(largest) > 2 or told or frozenset(map(str.casefold, largest)) in _PAIRS:
        return ""
    shown = " and ".join(f"'{name}'" for name in largest)
    return (
        f"the columns {shown} exclude each other; no classes were made of them: if they are the classes, "
        f"--label-column '{','.join(largest)}'"
    )


def _ones(values: Sequence[str]) -> int | None:
    """The rows with a 1 as bits of a number; None for a column of something else than 0 and 1."""
    numbers = [_number(value) for value in values]
    if not set(numbers) <= {"0", "1"}:
        return None
    return int("".join(number or "" for number in reversed(numbers)) or "0", 2)


class _Choice(NamedTuple):
    """Columns that exclude each other, and the rows in which one of them has a 1, as bits."""

    columns: tuple[str, ...]
    covered: int


def _exclusive(ones: Mapping[str, int], every: int) -> list[tuple[str, ...]]:
    """Sets of columns of which each row has a single 1, the largest first; at most `TRIED` steps are taken."""
    found, waiting = list[tuple[str, ...]](), [_Choice((), 0)]
    for _ in range(TRIED):
        if not waiting:
            break
        choice = waiting.pop()
        if choice.covered != every:
            waiting += _with_one_more(choice, ones)
        elif len(choice.columns) > 1:
            found.append(tuple(name for name in ones if name in choice.columns))
    return sorted(found, key=len, reverse=True)


def _with_one_more(choice: _Choice, ones: Mapping[str, int]) -> Iterator[_Choice]:
    """A choice with each of the columns that has a 1 in the first row without one, and none where there is one."""
    first = ~choice.covered & (choice.covered + 1)
    for name, rows in ones.items():
        if rows & first and not rows & choice.covered:
            yield _Choice((*choice.columns, name), choice.covered | rows)


def _names(path: Path, column: str, values: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The name of the class of each value, and what was done to the values."""
    distinct = sorted(set(values))
    if _are_bits(distinct):
        return _places_of_bits(path, column, distinct)
    numbers = dict[str, str]()
    for value in distinct:
        number = _number(value)
        if number is None:
            return dict(zip(distinct, distinct, strict=True)), []
        numbers[value] = number
    if broken := [value for value, number in numbers.items() if not number.lstrip("-").isdecimal()]:
        raise DataError(
            f"{path}: the column '{column}' holds measurements, no classes:\n{listed(broken)}",
            expected="a class (a name or a whole number) in every row",
            remedy="name another column with --label-column, or write classes",
            code="DATA-052",
        )
    changed = [f"{value} as {number}" for value, number in numbers.items() if value != number]
    if not changed:
        return numbers, []
    return numbers, [f"classes of the column '{column}' were read as numbers: {', '.join(changed[:_SHOWN])}"]


def _places_of_bits(path: Path, column: str, values: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The place of the 1 in each value as its class.

    Raises:
        DataError: values have several, or none.
    """
    if several := [value for value in values if value.count("1") != 1]:
        raise _several(path, column, [f"'{value}'" for value in several])
    names = {value: str(value.index("1")) for value in values}
    return names, [f"the column '{column}' is one-hot: the class is the place of the 1, counted from 0"]


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
    if not all(map(_BITS.fullmatch, values)) or len(set(map(len, values))) > 1:
        return False
    if len(values[0]) > 2:
        return True
    return any(value.startswith("0") for value in values) and all(value.count("1") == 1 for value in values)


def _refuse_several(path: Path, column: str, rows: Sequence[tuple[int, str]]) -> None:
    """Refuse texts such as `Mass|Nodule`: they are several classes of one image."""
    alone = {value for _, value in rows}
    found = [f"row {number}: '{value}'" for number, value in rows if _names_several(value, alone)]
    if found:
        raise _several(path, column, found)


def _names_several(value: str, alone: Collection[str]) -> bool:
    """Whether a value is a list of classes, some of which stand `alone` in other rows."""
    if "|" in value or LIST.fullmatch(value):
        return True
    parts = re.split(r"[;,]", value)
    return len(parts) > 1 and any(part.strip() in alone for part in parts)


def _several(path: Path, column: str, found: Sequence[str]) -> DataError:
    return DataError(
        f"{path}: the column '{column}' has several classes in one value:\n{listed(found)}",
        expected="one class per image",
        remedy="make a column with the one class that the model is to know, and name it with --label-column",
        code="DATA-052",
    )
