"""Read a table (CSV, TSV or text) whoever wrote it: its encoding, delimiter, header, and what its columns are for.

Encodings are UTF-8 and, with a byte order mark, UTF-16; delimiters are comma, semicolon, tab or, in text files, spaces.
A table without header is one whose first row names a file itself. What a column is for is said by its name (below) or
by the person; of several that could name the image, the one with the most files wins. Values are kept as they are
written, but for the apostrophe that marks text which begins like a formula (`sfumato.escape`); how they become cases is
told in `sfumato.data.source.tabulated`.
"""

import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.errors import DataError, listed
from sfumato.escape import from_cell
from sfumato.files import read_file
from sfumato.shortage import raise_shortage

MAX_BYTES = 2**29
"""Larger tables are refused before they are read."""

MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
DELIMITERS = ",;\t"
ROLES = ("image", "mask", "label", "patient", "split")
NAMES: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("image", "image_name", "image_id", "image_path", "image_file", "img", "img_name", "img_id", "img_path"),
        *("isic_id", "file", "filename", "file_name", "filepath", "file_path", "path", "name", "id"),
    ),
    "mask": ("mask", "mask_path", "mask_name", "mask_file", "segmentation", "seg", "annotation", "mask_id"),
    "label": ("label", "labels", "class", "class_name", "target", "dx", "diagnosis", "category", "benign_malignant"),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid", "lesion_id", "lesion"),
    "split": ("split", "set", "subset", "partition", "fold"),
}
"""Names of columns by their role, the most telling first; case, spaces and dashes do not matter."""


class Row(NamedTuple):
    """A row of a table: its number in the file, counted from 1, and its fields."""

    number: int
    fields: tuple[str, ...]


class Table(NamedTuple):
    """A table.

    Attributes:
        path: its file.
        header: names of the columns, all different; `column 1` and so on where the file has no header.
        rows: the rows.
        named: whether the file has a header.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[Row]
    named: bool

    def column(self, name: str) -> list[str]:
        """The fields of a column, without space around them."""
        place = self.header.index(name)
        return [row.fields[place].strip() for row in self.rows]


def read_table(path: Path, *, known: Mapping[str, str], files: frozenset[str]) -> Table:
    """Read a table.

    Args:
        path: its file.
        known: names of columns that the person gave; then there is a header.
        files: names and stems of the files that the table may be about: if the first row has one, it is no header.

    Raises:
        DataError: it cannot be read, is too large, in an unknown encoding, or has rows of different lengths.
    """
    lines = _parsed(path, _text(path))
    if not lines:
        raise DataError(f"{path}: the table is empty", expected="a header and rows", code="DATA-016")
    width = len(lines[0].fields)
    if uneven := [line for line in lines if len(line.fields) != width]:
        rows = listed([f"row {line.number}: {len(line.fields)} fields" for line in uneven])
        finding = f"{path}: {len(uneven)} rows have another number of fields than the first:\n{rows}"
        raise DataError(finding, expected=f"{width} fields in every row: {', '.join(lines[0].fields)}", code="DATA-016")
    first = [field.strip() for field in lines[0].fields]
    named = bool(set(known.values()) & set(first)) or not any(field and bare(field) in files for field in first)
    header = _distinct(first) if named else tuple(f"column {number}" for number in range(1, width + 1))
    return Table(path, header, lines[1:] if named else lines, named=named)


def bare(name: str) -> str:
    """The last part of a path in a table, in whichever system it was written."""
    return re.split(r"[/\\]", name.strip())[-1]


def roles(table: Table, known: Mapping[str, str]) -> dict[str, list[str]]:
    """The columns that may have each role, the most likely first.

    Args:
        table: the table.
        known: the columns that the person named, by role.

    Raises:
        DataError: a column that was named is not there.
    """
    for role, column in known.items():
        if column not in table.header:
            near = difflib.get_close_matches(column, table.header, n=1)
            raise DataError(
                f"{table.path}: no column '{column}'; the columns are: {', '.join(table.header)}",
                expected=f"the column of the {role}" + (f"; did you mean '{near[0]}'?" if near else ""),
                code="DATA-050",
            )
    taken = set(known.values())
    plain = {_plain(name): name for name in reversed(table.header) if name not in taken}
    found: dict[str, list[str]] = {}
    for role in ROLES:
        if role in known:
            found[role] = [known[role]]
        else:
            found[role] = [plain[name] for name in NAMES[role] if name in plain]
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path} has {size:,} bytes", expected=f"a table of at most {MAX_BYTES:,}", code="DATA-016")
        content = read_file(path)
        encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
        text = content.decode(encoding)
    except OSError as error:
        raise_shortage(error, reading=path)
        raise DataError(f"{path} cannot be read: {error.strerror}", code="DATA-001") from error
    except UnicodeDecodeError as error:
        raise _encoding(path, str(error)) from error
    if "\0" in text:
        raise _encoding(path, "it has zero bytes")
    return text


def _encoding(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is no text in UTF-8: {why}",
        expected="a table in UTF-8, or in UTF-16 with a byte order mark",
        remedy="save it again as 'CSV UTF-8'",
        code="DATA-016",
    )


def _parsed(path: Path, text: str) -> list[Row]:
    """The rows with something in them."""
    delimiter = _delimiter(text, spaces=path.suffix.lower() == ".txt")
    if delimiter == " ":
        fields = [line.split() for line in text.splitlines()]
        return [Row(number, tuple(row)) for number, row in enumerate(fields, start=1) if row]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [
            Row(reader.line_num, tuple(map(from_cell, row))) for row in reader if any(field.strip() for field in row)
        ]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}",
            expected="fields between delimiters, in quotes where they hold one",
            code="DATA-016",
        ) from error


def _delimiter(text: str, *, spaces: bool) -> str:
    """The delimiter that cuts most of the first lines into the same number of fields, the more the better."""
    sample = "\n".join(text.splitlines()[:20])
    widths = {}
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample), delimiter=delimiter) if row]
        except csv.Error:
            continue
        widths[delimiter] = Counter(len(row) for row in rows).most_common(1)[0][0] if rows else 0
    best = max(widths, key=lambda delimiter: widths[delimiter], default=",")
    if widths.get(best, 0) < 2:
        return " " if spaces else ","
    return best


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns with a number where one occurs again or is empty."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(f"{name} {seen[name]}".strip() if seen[name] > 1 else name)
    return tuple(distinct)
