"""Read a table (CSV, TSV or text) whoever wrote it: its encoding, delimiter, header, and what its columns are for.

Encodings are UTF-8 and, with a byte order mark, UTF-16. The delimiter (comma, semicolon, tab, bar or, in text files,
spaces) is the one that cuts most rows into as many fields as the first, whatever commas free texts have; a first line
`sep=;` says it. A table without header is one whose first row names a file itself and has no name of a column. What a
column is for is said by its name (below) or by the person (`sfumato.data.source.tables.columns`). Values are kept as
they are written, but for the apostrophe that marks text which begins like a formula (`sfumato.escape`); how they become
cases is told in `sfumato.data.source.tables.tabulated`.
"""

import csv
import difflib
import io
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from sfumato.errors import DataError, listed
from sfumato.escape import from_cell
from sfumato.files import read_file
from sfumato.shortage import raise_shortage

_MAX_BYTES = 2**29
"""Larger tables are refused before they are read."""

_GZIP = b"\x1f\x8b"
"""How files begin that gzip has packed."""

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
DELIMITERS = ",;\t|"
_SAID = re.compile(r"sep=(.)\r?\n")
"""How spreadsheets say the delimiter in a line of its own."""

_LOOKED_AT = 200
"""Rows from which the delimiter is told."""

ROLES = ("image", "mask", "label", "patient", "split")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("image", "image_name", "image_id", "image_path", "image_file", "img", "img_name", "img_id", "img_path"),
        *("isic_id", "file", "filename", "file_name", "filepath", "file_path", "path", "name", "id"),
        *("images", "image_index", "image_file_path", "files", "scan", "scan_path"),
    ),
    "mask": (
        "mask",
        "mask_path",
        "mask_name",
        "mask_file",
        "segmentation",
        "seg",
        "annotation",
        "mask_id",
        "masks",
        "roi_mask_file_path",
    ),
    "label": (
        "label",
        "labels",
        "class",
        "class_name",
        "target",
        "dx",
        "diagnosis",
        "category",
        "benign_malignant",
        "diagnostic",
        "class_label",
        "label_name",
        "pathology",
        "level",
        "grade",
    ),
    "patient": (
        *(
            "patient",
            "patient_id",
            "patient_no",
            "patient_nr",
            "patient_number",
            "patient_num",
            "patients",
            "pid",
            "ptid",
        ),
        *("participant_id", "participant", "subject_id", "subject", "subject_no", "subject_key", "person_id", "person"),
        *("mrn", "medical_record_number", "donor_id", "donor", "animal_id", "animal", "mouse_id", "case_id", "case"),
        *(
            "record_id",
            "eid",
            "rid",
            "lesion_id",
            "lesion",
            "study_instance_uid",
            "study_id",
            "study",
            "accession_number",
        ),
    ),
    "split": ("split", "set", "subset", "partition", "fold"),
}
"""Names of columns by their role, the most telling first; case, spaces, dashes and underscores do not matter."""

_NUMBERED = {
    "image": re.compile(r"(?:image|img|channel|image_?path|image_?file)_?(\d+)", re.IGNORECASE),
    "mask": re.compile(
        r"(?:mask|seg|segmentation|label_?path|reader|rater|annotator|mask_?path|mask_?file|mask_?reader)_?(\d+)",
        re.IGNORECASE,
    ),
}
"""Columns for the channels of an image, or for the masks of its readers."""


UNKNOWN_WORDS = {
    "",
    "nan",
    "na",
    "n/a",
    "none",
    "null",
    "unknown",
    "anonymous",
    "anon",
    "anonymized",
    "anonymised",
    "-",
    "?",
}
"""What stands for a patient where there is none."""


class _Row(NamedTuple):
    """A row of a table: its number in the file, counted from 1, and its fields."""

    number: int
    fields: tuple[str, ...]


class SourceTable(NamedTuple):
    """A table.

    Attributes:
        path: its file.
        header: names of the columns, all different; `column 1` and so on where the file has no header.
        rows: the rows.
        named: whether the file has a header.
    """

    path: Path
    header: tuple[str, ...]
    rows: list[_Row]
    named: bool

    def column(self, name: str) -> list[str]:
        """The fields of a column, without space around them."""
        place = self.header.index(name)
        return [row.fields[place].strip() for row in self.rows]


def read_table(
    path: Path, *, known: Mapping[str, str], files: frozenset[str], folders: frozenset[str] = frozenset()
) -> SourceTable:
    """Read a table.

    Args:
        path: its file.
        known: names of columns that the person gave; then there is a header.
        files: names and stems of the files that the table may be about: if the first row has one, it is no header.
        folders: the last two names of the folders that it may be about, with a slash between; likewise.

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
    named = bool(set(known.values()) & set(first)) or not _names_a_file(first, files, folders)
    header = _distinct(first) if named else tuple(f"column {number}" for number in range(1, width + 1))
    return SourceTable(path, header, lines[1:] if named else lines, named=named)


def _names_a_file(first: Sequence[str], files: frozenset[str], folders: frozenset[str]) -> bool:
    """Whether a first row is no header: a field is a file or folder, and none is what columns are called."""
    words = {_plain(name) for names in _NAMES.values() for name in names}
    if words & set(map(_plain, first)):
        return False
    return any(field and (bare(field) in files or last_folders(field) in folders) for field in first)


def bare(name: str) -> str:
    """The last part of a path in a table, in whichever system it was written."""
    return re.split(r"[/\\]", name.strip())[-1]


def last_folders(path: str) -> str:
    """The last two parts of a path, by which a table names a folder; empty where it has one alone."""
    parts = [part for part in re.split(r"[/\\]+", path.strip()) if part not in ("", ".")]
    return "/".join(parts[-2:]) if len(parts) > 1 else ""


def roles(table: SourceTable, known: Mapping[str, str]) -> dict[str, list[str]]:
    """The columns that may have each role, the most likely first.

    Args:
        table: the table.
        known: the columns that the person named, by role.

    Raises:
        DataError: a column that was named is not there.
    """
    for role, column in ((role, column) for role, given in known.items() for column in columns_of(given, table.header)):
        if column not in table.header:
            near = difflib.get_close_matches(column, table.header, n=1)
            raise DataError(
                f"{table.path}: no column '{column}'; the columns are: {', '.join(table.header)}",
                expected=f"the column of the {role}" + (f"; did you mean '{near[0]}'?" if near else ""),
                code="DATA-050",
            )
    taken = {column for given in known.values() for column in columns_of(given, table.header)}
    plain = {_plain(name): name for name in reversed(table.header) if name not in taken}
    found: dict[str, list[str]] = {}
    for role in ROLES:
        if role in known:
            found[role] = columns_of(known[role], table.header)
        else:
            names = dict.fromkeys(map(_plain, _NAMES[role]))
            found[role] = [plain[name] for name in names if name in plain]
    return found


def says_more(header: Sequence[str]) -> bool:
    """Whether a table like a manifest says more, under names that a manifest has not: `masks`, `seg_0`, `diagnosis`."""
    own = ["mask" if re.fullmatch(r"mask_\d+", name) else name for name in header]
    missing = {role for role in ROLES if role != "image" and role not in own}
    others = {_plain(name) for name in header}
    if "mask" in missing and numbered_columns("mask", header):
        return True
    return any(others & set(map(_plain, _NAMES[role])) for role in missing)


def columns_of(given: str, header: Sequence[str]) -> list[str]:
    """The columns that a person named: one, or several with commas between them."""
    return [given] if given in header or "," not in given else [name.strip() for name in given.split(",")]


def numbered_columns(role: str, header: Sequence[str]) -> list[str]:
    """The columns of a table that are called `image_0`, `image_1` ... or `mask_0`, `mask_1` ..., by their numbers."""
    found = [(int(match[1]), name) for name in header if (match := _NUMBERED[role].fullmatch(name.strip()))]
    return [name for _, name in sorted(found)]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _MAX_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes", expected=f"a table of at most {_MAX_BYTES:,}", code="DATA-016"
            )
        content = read_file(path)
        if content.startswith(_GZIP):
            raise DataError(
                f"{path} is packed by gzip",
                expected="a table as it stands",
                remedy=f"unpack it, and name that file: gunzip -k {quote(str(path))}",
                code="DATA-016",
            )
        encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
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


def _parsed(path: Path, text: str) -> list[_Row]:
    """The rows with something in them."""
    said = _SAID.match(text)
    text = text[said.end() :] if said else text
    delimiter = said[1] if said else _delimiter(text, spaces=path.suffix.lower() == ".txt")
    if delimiter == " ":
        fields = [line.split() for line in text.splitlines()]
        return [_Row(number, tuple(row)) for number, row in enumerate(fields, start=1) if row]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [
            _Row(reader.line_num + bool(said), tuple(map(from_cell, row)))
            for row in reader
            if any(field.strip() for field in row)
        ]
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}",
            expected="fields between delimiters, in quotes where they hold one",
            code="DATA-016",
        ) from error


def _delimiter(text: str, *, spaces: bool) -> str:
    """The delimiter that cuts most of the first rows into as many fields as the first; the more fields the better."""
    fits = {delimiter: _fit(text, delimiter) for delimiter in DELIMITERS}
    best = max(fits, key=lambda delimiter: fits[delimiter])
    if fits[best].width < 2:
        return " " if spaces else ","
    return best


class _Fit(NamedTuple):
    """The share of rows that have as many fields as the first, and that number."""

    share: float
    width: int


def _fit(text: str, delimiter: str) -> _Fit:
    try:
        rows = [
            row for row in islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _LOOKED_AT) if row
        ]
    except csv.Error:
        return _Fit(0, 0)
    width = len(rows[0]) if rows else 0
    return _Fit(sum(len(row) == width for row in rows) / len(rows), width) if width > 1 else _Fit(0, width)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns with a number where one occurs again or is empty."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(f"{name} {seen[name]}".strip() if seen[name] > 1 else name)
    return tuple(distinct)
