"""Tables whose rows are folders of pictures, as studies of several views are.

    train/XR_WRIST/patient00011/study1_positive/,1        image1.png, image2.png ... in that folder

Such a row becomes one for each picture of its folder, with the path of that in its place, and is read like any other.
A folder goes by the longest tail of its path, since tables are written on other machines.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, takewhile

from sfumato.data.source.listing import PathParts, SourceFile, is_picture_file
from sfumato.data.source.matching.roles import sort_roles
from sfumato.data.source.matching.witness import have_few_values
from sfumato.data.source.table import SourceTable, last_folders
from sfumato.wording import counted

_SEPARATOR = re.compile(r"[/\\]+")

_LOOKED_AT = 20
"""Rows by which the column of the folders is told, before all are looked up."""

_SERIES = 8
"""Names of pictures that are looked into; where there are more, they are no names of roles."""

_CALLED = "image"
"""What the column of the folders is called, once it names pictures."""

_DIGITS = re.compile(r"\d+")


def folders_of_pictures(entries: Sequence[SourceFile]) -> frozenset[str]:
    """The last two names of the folders that hold pictures."""
    folders = {entry.parts[:-1] for entry in entries if len(entry.parts) > 2 and is_picture_file(entry)}
    return frozenset("/".join(folder[-2:]) for folder in folders)


def with_rows_of_pictures(
    table: SourceTable, entries: Sequence[SourceFile], known: frozenset[str], said: Mapping[str, str]
) -> SourceTable:
    """The table with a row for each picture in the folders that a column names; as it is, where none does.

    Args:
        table: a table.
        entries: the files that it may name.
        known: the folders among these (`folders_of_pictures`).
        said: the columns that a person named, by role.
    """
    column = next((name for name in table.header if _names_folders(table.column(name), known)), None)
    if column is None or column in {name for role, name in said.items() if role != "image"}:
        return table
    images, _, _ = sort_roles([entry for entry in entries if is_picture_file(entry)])
    inside = defaultdict[PathParts, list[SourceFile]](list)
    for image in images:
        inside[image.entry.parts[:-1]].append(image.entry)
    by_tail = _by_tail(inside)
    held = [inside.get(_folder(text, by_tail), []) for text in table.column(column)]
    if 2 * sum(map(bool, held)) <= len(held) or _hold_masks(list(chain.from_iterable(held))):
        return table
    place, rows = table.header.index(column), list(table.rows)[:0]
    for row, files in zip(table.rows, held, strict=True):
        before, after = row.fields[:place], row.fields[place + 1 :]
        rows += [row._replace(fields=(*before, file.where, *after)) for file in files] or [row]
    header = list(table.header)
    if table.named and column not in said.values() and _CALLED not in header:
        header[place] = _CALLED  # a study of several views is no patient
    return table._replace(header=tuple(header), rows=rows)


def about_rows_of_pictures(table: SourceTable) -> list[str]:
    """A note about a table whose rows are folders."""
    folders = len({row.number for row in table.rows})
    if folders == len(table.rows):
        return []
    pictures = counted(len(table.rows), "picture")
    return [f"the rows of {table.path.name} are folders: what each says holds for all pictures in it ({pictures})"]


def _names_folders(texts: Sequence[str], known: frozenset[str]) -> bool:
    """Whether most of the first cells of a column end as the path of a folder of pictures does."""
    first = [text for text in texts if text][:_LOOKED_AT]
    return 2 * sum(last_folders(text) in known for text in first) > len(first)


def _parts(path: str) -> list[str]:
    return [part for part in _SEPARATOR.split(path.strip()) if part not in ("", ".")]


def _by_tail(folders: Mapping[PathParts, object]) -> Mapping[str, list[PathParts]]:
    """The folders by their last two names."""
    found = defaultdict[str, list[PathParts]](list)
    for folder in folders:
        found["/".join(folder[-2:])].append(folder)
    return found


def _folder(text: str, by_tail: Mapping[str, list[PathParts]]) -> PathParts:
    """The one folder with the longest tail in common with a path; empty where there are several, or none."""
    parts, best = _parts(text), dict[int, list[PathParts]]()
    for folder in by_tail.get(last_folders(text), ()):
        pairs = zip(reversed(folder), reversed(parts), strict=False)
        common = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        best.setdefault(common, []).append(folder)
    nearest = best[max(best)] if best else []
    return nearest[0] if len(nearest) == 1 else ()


def _hold_masks(files: Sequence[SourceFile]) -> bool:
    """Whether pictures of one name have few values, as masks beside images have."""
    series = defaultdict[str, list[SourceFile]](list)
    for file in files:
        series[_DIGITS.sub("", file.name)].append(file)
    return 1 < len(series) <= _SERIES and any(map(have_few_values, series.values()))
