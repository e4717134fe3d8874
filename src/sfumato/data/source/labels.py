"""From what a table says of each image to one class: numbers written alike, one-hot columns and texts, and refusals."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from sfumato.errors import DataError, listed
from sfumato.wording import counted

EMPTY = {"", "nan", "na", "null", "<na>"}
"""What programs write where there is no value."""

DOUBTFUL = {"n/a", "none", "unknown", "missing", "-", "?"}
"""What people write there, or call a class."""
_PAIRS = {
    frozenset(pair)
    for pair in (
        ("benign", "malignant"),
        ("normal", "abnormal"),
        ("positive", "negative"),
        ("healthy", "diseased"),
        ("healthy", "disease"),
        ("yes", "no"),
        ("normal", "pneumonia"),
        ("control", "patient"),
    )
}
"""Two columns that are classes, and no sides or sexes."""

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
    return ClassColumn(names, notes, dropped=any(empty))


def _out_of_lists(values: Sequence[str]) -> Sequence[str]:
    """The values without brackets, where each is a list of one, as Python writes them: `['N']`."""
    inside = {value: LIST_OF_ONE.fullmatch(value.strip()) for value in values if value.lower() not in EMPTY}
    if not all(inside.values()):
        return values
    alone = {value: match[2].strip() for value, match in inside.items() if match}
    return [alone.get(value, value) for value in values]


def _unsure(values: Sequence[str], empty: Sequence[bool]) -> list[bool]:
    """Which values are the -1 of a column of numbers."""
    numbers = [None if none else _number(value) for value, none in zip(values, empty, strict=True)]
    if any(number is None and not none for number, none in zip(numbers, empty, strict=True)):
        return [False] * len(values)
    return [number == "-1" for number in numbers]


def _without_unsure(
    path: Path, column: str, values: Sequence[str], numbers: Sequence[int], unsure: Sequence[bool], *, drop_empty: bool
) -> ClassColumn:
    """Classes where -1 is none: CheXpert and MIMIC-CXR write it where a report leaves a finding open.

    Raises:
        DataError: nobody said that these rows may go, and as for `read_labels`.
    """
    rows = [f"row {number}" for number, open_ in zip(numbers, unsure, strict=True) if open_]
    meaning = "CheXpert and MIMIC-CXR write -1 for a finding that is uncertain"
    left = [place for place, open_ in enumerate(unsure) if not open_]
    are_some = not all(values[place].lower() in EMPTY for place in left)
    if not drop_empty:
        drop = "leave these rows out, and those without a class, with --drop-unpaired; or " if are_some else ""
        raise DataError(
            f"{path}: {counted(len(rows), 'row has', 'rows have')} -1 in the column '{column}', which is taken for no "
            f"class ({meaning}):\n{listed(rows)}",
            expected="a class in every row",
            remedy=f"{drop}write a word where -1 is a class",
            code="DATA-052",
        )
    told = f"rows with -1 in the column '{column}', left out: {len(rows)} ({meaning}; write a word where it is a class)"
    if not are_some:
        raise DataError(
            f"{path}: no row has a class in the column '{column}': it is -1 or empty",
            expected="two classes at least",
            remedy="name another column with --label-column, or write a word where -1 is a class",
            code="DATA-052",
        )
    found = read_labels(
        path, column, [values[place] for place in left], [numbers[place] for place in left], drop_empty=drop_empty
    )
    names = iter(found.names)
    return ClassColumn([None if open_ else next(names) for open_ in unsure], [told, *found.notes], dropped=True)


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
    rows_in_all = len(next(iter(columns.values()), ()))
    found = _exclusive(ones, (1 << rows_in_all) - 1) if len(ones) > 1 else []
    if not found:
        return None
    largest, *others = found
    if others and len(others[0]) == len(largest):
        either = " or ".join(", ".join(names) for names in (largest, others[0]))
        return ClassColumn([None] * rows_in_all, [f"the classes may be the columns {either}: no classes; {CHOOSE}"])
    if len(largest) == 2 and not told and not _PAIRS & {frozenset(map(str.casefold, largest))}:
        shown = " and ".join(f"'{name}'" for name in largest)
        choose = f"if they are the classes, --label-column '{','.join(largest)}'"
        return ClassColumn(
            [None] * rows_in_all, [f"the columns {shown} exclude each other; no classes were made of them: {choose}"]
        )
    names: list[str | None] = [next(name for name in largest if ones[name] >> row & 1) for row in range(rows_in_all)]
    rest = [name for name, rows in bits.items() if rows is not None and name not in largest]
    left = f"; not taken: {', '.join(rest)}" if rest else ""
    return ClassColumn(names, [f"the class is the column that has a 1: {', '.join(largest)}{left}"])


def _ones(values: Sequence[str]) -> int | None:
    """The rows with a 1 as bits of a number; None for a column of something else than 0 and 1."""
    numbers = [_number(value) for value in values]
    if not set(numbers) <= {"0", "1"}:
        return None
    return int("".join(number or "" for number in reversed(numbers)) or "0", 2)


def _exclusive(ones: Mapping[str, int], every: int) -> list[tuple[str, ...]]:
    """Sets of columns of which each row has a single 1, the largest first; at most `TRIED` steps are taken."""
    found, steps = list[tuple[str, ...]](), count()
    waiting: list[tuple[tuple[str, ...], int]] = [((), 0)]
    while waiting and next(steps) < TRIED:
        chosen, covered = waiting.pop()
        if covered == every:
            found.append(tuple(name for name in ones if name in chosen))
            continue
        first = ~covered & (covered + 1)
        waiting += [
            ((*chosen, name), covered | rows) for name, rows in ones.items() if rows & first and not rows & covered
        ]
    return sorted((names for names in found if len(names) > 1), key=len, reverse=True)


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
        all(_BITS.fullmatch(value) for value in values)
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
