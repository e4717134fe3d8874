"""Tables beside masks that name the values of these: `gtruth_codes.tsv`, `classes.csv`, `labels.txt`.

    label,GT_code         0 outside_roi         0: background
    outside_roi,0         1 tumor               1: tumor
    tumor,1

A table of codes has a column of whole numbers and a column of names, each of which is there once, and describes no
image. In a table with a header these are known by their names; a text without one has the number first. The names are
used where the table has all values of the masks; what it calls a value that says nothing is told.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sfumato.data.mask import count_values
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.listing import SourceFile, divided
from sfumato.data.source.table import read_table
from sfumato.data.source.values.background import BACKGROUND, IGNORE
from sfumato.data.source.values.values import sampled_masks
from sfumato.data.source.words import tokens
from sfumato.errors import DataError
from sfumato.files import read_file
from sfumato.shortage import raise_shortage

_SHEETS = (".csv", ".tsv")
_ENDINGS = (*_SHEETS, ".txt")
_MOST_BYTES, _MOST_FILES = 2**16, 20
"""Larger files are no tables of codes; so many are looked into."""

_LARGEST = 2**16
"""Codes are smaller."""

_Pairs = list[tuple[str, str]]
"""Values and names, as they are written."""

_CODE = frozenset({"code", "codes", "value", "values", "grey", "gray", "greyvalue", "grayvalue", "pixel", "intensity"})
"""Last words of the names of columns that hold values of pixels."""

_NUMBER = frozenset({"id", "ids", "index", "idx", "number", "no", "nr", "key"})
"""The same of columns that may number anything: values where the name of the file or of the other column says so."""

_KIND = frozenset({"label", "labels", "class", "classes", "category", "tissue", "structure", "organ", "region"})
"""Last words of the names of columns that hold names of classes."""

_NAME = frozenset({"name", "names", "description", "meaning", "type"})
"""The same of columns that may name anything."""

_LEGEND = _CODE | _KIND | {"legend", "lut", "map", "labelmap", "colormap", "mapping", "dict", "key", "keys", "palette"}
"""Words in the names of files that are tables of codes."""

_UNSAID = re.compile(
    r"outside|ignore|\bvoid\b|(?:don'?t|do not)[ _]?care|un-?label|exclude|not[ _]annotated|un-?annotated|undetermined"
    r"|undefined|unknown",
    re.IGNORECASE,
)
"""Names of values that say nothing of a pixel."""

_ABOUT = frozenset({"image", "img", "file", "patient", "case", "subject", "study", "lesion", "slide", "scan"})
"""Words in the names of columns that number something else."""

_LINES = (
    re.compile(r"(?P<code>\d+)(?:\s+[\d.]+){6}\s+\"(?P<name>.+)\""),
    re.compile(r"(?P<code>\d+)\s*[:=,;\t ]\s*(?P<name>\S.*?)(?:(?:[,;\s]+\d+){3,4})?"),
    re.compile(r"(?P<name>\S.*?)\s*[:=,;\t ]\s*(?P<code>\d+)"),
)
"""Lines of a text: as ITK-SNAP writes them; a number and a name, perhaps with a colour behind; the other way round."""


class CodeTable(NamedTuple):
    """A table of codes: its file, and the names by their values."""

    file: SourceFile
    names: Mapping[int, str]


def without_codes(entries: Sequence[SourceFile]) -> tuple[list[SourceFile], list[CodeTable]]:
    """The files without the tables of codes, and these."""
    possible, _ = divided(entries, lambda entry: entry.name.lower().endswith(_ENDINGS))
    texts, sheets = divided(possible, lambda entry: entry.name.lower().endswith(".txt"))
    told = [entry for entry in texts if _is_called_a_legend(entry)]
    tables = [*_read([*sheets[:_MOST_FILES], *told[:_MOST_FILES]], entries)] if possible else []
    files = {table.file for table in tables}
    return [entry for entry in entries if entry not in files], tables


def _read(possible: Sequence[SourceFile], entries: Sequence[SourceFile]) -> Iterator[CodeTable]:
    stems = frozenset(entry.stem for entry in entries if entry not in possible)
    for entry in possible:
        if names := _names_in(entry, stems):
            yield CodeTable(entry, names)


def _is_called_a_legend(entry: SourceFile) -> bool:
    return any(token.text in _LEGEND for token in tokens(entry.stem))


def codes_above(masks: Sequence[SourceFile] | None) -> list[CodeTable]:
    """The tables of codes in the folder of masks that lie apart from their images, and in the folder above."""
    if not masks:
        return []
    home = Path(masks[0].locator).parent
    try:
        paths = [path for folder in (home, home.parent) for path in sorted(folder.iterdir()) if path.is_file()]
    except OSError as error:
        raise_shortage(error, reading=home)
        return []
    return without_codes([SourceFile(str(path), (path.name,)) for path in paths])[1]


def with_codes(found: DiscoveredDataset, tables: Sequence[CodeTable], hints: ReadOptions) -> DiscoveredDataset:
    """The same with the names of the values of its masks that a table of codes says, and a line about each table."""
    for table in tables if found.has_masks else ():
        name = table.file.name
        if why := _why_not(found, table, hints):
            found = found._replace(notes=(*found.notes, f"{name} names values of masks, not used: {why}"))
        else:
            names = {0: BACKGROUND, **table.names}
            found = found._replace(mask_names=names, notes=(*found.notes, _told(table, hints)))
    return found


def _why_not(found: DiscoveredDataset, table: CodeTable, hints: ReadOptions) -> str:
    """Why a table is not used; empty where it is."""
    if any(name.casefold() != IGNORE for name in hints.names_of_classes.values()):
        return "--class-names says them"
    if found.mask_names or hints.join_masks:
        return "what the masks show has names already" if found.mask_names else "--join-masks makes them one class"
    seen = {value for raw in sampled_masks(found) for value in count_values(raw)}
    strange = sorted(seen - {0, *table.names})
    return f"the masks have values that it lacks ({', '.join(map(str, strange[:5]))})" if strange else ""


def _told(table: CodeTable, hints: ReadOptions) -> str:
    """A line about a table that is used, and the flag for values that say nothing by their names."""
    said = hints.names_of_classes
    unsaid = {value: name for value, name in table.names.items() if _UNSAID.search(name) and value not in said}
    told = f"{table.file.name} names the values of the masks"
    if not unsaid:
        return told
    named = ", ".join(f"{value} ({name})" for value, name in unsaid.items())
    flag = ",".join(f"{value}=ignore" for value in unsaid)
    return (
        f"{told}; pixels of {named} count like others: check, prepare and train with --class-names {flag} leave them "
        "out of loss and metrics, and so does evaluate against a dataset that is prepared so"
    )


def _names_in(entry: SourceFile, stems: frozenset[str]) -> dict[int, str]:
    """The names by their values in a file that is a table of codes; empty where it is none."""
    path = Path(entry.locator)
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return {}
    is_legend = _is_called_a_legend(entry)
    pairs = _by_columns(path, stems, is_legend=is_legend) or (_by_lines(path) if is_legend else [])
    names = {int(code): name.strip("\"' ") for code, name in pairs if code.isdecimal() and int(code) <= _LARGEST}
    once = len(names) == len(set(names.values())) == len(pairs) > 1
    are_names = not any(not name or name.isdecimal() or name in stems for name in names.values())
    return dict(sorted(names.items())) if once and are_names else {}


def _by_columns(path: Path, stems: frozenset[str], *, is_legend: bool) -> _Pairs:
    """What the two columns of a table with a header say whose names are those of codes and of names."""
    try:
        table = read_table(path, known={}, files=frozenset())
    except DataError:
        return []
    last = {column: _last_word(column) for column in table.header}
    numbers = [name for name in table.header if all(text.isdecimal() for text in table.column(name))]
    codes = [name for name in numbers if last[name] in _CODE | _NUMBER | _KIND]
    names = [name for name in table.header if name not in numbers and last[name] in _KIND | _NAME]
    if not codes or not names or not table.rows:
        return []
    code, name = (
        min(columns, key=lambda one: last[one] not in sure) for columns, sure in ((codes, _CODE), (names, _KIND))
    )
    is_said = is_legend or {last[code], last[name]} & (_CODE | _KIND)
    numbers_images = last[code] in _NUMBER and stems.issuperset(table.column(code))
    return [*zip(table.column(code), table.column(name), strict=True)] if is_said and not numbers_images else []


def _last_word(column: str) -> str:
    """The last word of the name of a column, unless that speaks of something else than pixels."""
    words = [token.text for token in tokens(column)]
    return words[-1] if words and not _ABOUT & {*words} else ""


def _by_lines(path: Path) -> _Pairs:
    """What the lines of a text say, all of which have a number and a name."""
    text = read_file(path).decode(errors="replace").lstrip("\ufeff")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for form in _LINES:
        hits = [hit for line in lines if (hit := form.fullmatch(line))]
        if len(hits) == len(lines):
            return [(hit["code"], hit["name"]) for hit in hits]
    return []
