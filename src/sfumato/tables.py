"""Tables that we write, and read again: CSV in UTF-8, in which no cell is taken for a formula.

How cells are marked, and that every text comes back as it was, stands in `sfumato.escape`.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sfumato.errors import DataError
from sfumato.escape import from_cell, to_cell
from sfumato.files import read_text
from sfumato.shortage import raise_shortage

Row = dict[str, str]


class _Lines:
    """What `csv` writes to: it hands every line back."""

    def write(self, line: str) -> str:
        return line.removesuffix("\r\n") + "\n"


_ROWS = csv.writer(_Lines(), lineterminator="\r\n")
"""Within a cell the letters of the line's end are quoted, of which only one is written: so both are."""


def table_line(cells: Iterable[object]) -> str:
    """A row of a table, with its line end."""
    return str(_ROWS.writerow([to_cell("" if cell is None else cell) for cell in cells]))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table.

    Args:
        path: the file.
        columns: their names.
        rows: a cell for each column.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(table_line(columns))
        file.writelines(map(table_line, rows))


def write_records(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Write a table of records, at least one; the columns are those of the first."""
    records = iter(records)
    first = next(records)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(table_line(first))
        for record in (first, *records):
            file.write(table_line([record[name] for name in first]))


def read_columns(path: Path) -> list[str]:
    """The names of the columns of a table; none where it has no row at all.

    Raises:
        DataError: as for `read_rows`.
    """
    return next(iter(_lines(path)), [])


def read_rows(path: Path) -> list[Row]:
    """The rows of a table by the names of its columns; a byte order mark is fine.

    Raises:
        DataError: the file is missing, is not UTF-8, or a row has another number of fields than the header.
    """
    header, *rows = _lines(path) or [[]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            expected = f"{len(header)} fields: {', '.join(header)}"
            raise DataError(f"{path}, row {number}: {len(row)} fields", expected=expected, code="DATA-016")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _lines(path: Path) -> list[list[str]]:
    try:
        text = read_text(path, encoding="utf-8-sig", newline="")
    except (OSError, UnicodeDecodeError) as error:
        raise_shortage(error, reading=path)
        why = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"{path} cannot be read: {why}", expected="a CSV file in UTF-8", code="DATA-016") from error
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [[from_cell(cell) for cell in row] for row in table]
    except csv.Error as error:
        raise DataError(f"{path}, line {table.line_num}: {error}", expected="a CSV file", code="DATA-016") from error
